"""Without a card the tests of one are left out of a run of others; asked for alone, they say why they are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.gpu.device import DEVICE


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of this folder where there is no card and other tests are to be run."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if DEVICE == "cuda" and not torch.cuda.is_available() and len(here) < len(items):
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in set(here)]
