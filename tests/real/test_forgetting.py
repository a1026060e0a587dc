"""Forgetting on real CLIP features: visible without exemplars, smaller with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from bench.data.import_features import Options, import_pack
from tests.forgetting import on_first_classes

QUICK = {"incremental.increment": 34, "incremental.shots": 6}
PARAMETERS = {"epochs": 10, "min_steps": 40, "hidden": 32, "lr": 3e-3}
SEEDS = 3


@pytest.fixture(scope="module")
def flowers(real_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs") / "flowers"
    import_pack(
        [real_features / "oxford_flowers.npz"], real_features / "classes.json", folder, Options(name="oxford_flowers")
    )
    return folder


@pytest.mark.parametrize("name", ["replay", "foster", "icarl"])
def test_flowers_are_forgotten_without_exemplars_and_less_with_more(flowers: Path, name: str) -> None:
    """Accuracy on the first 34 flowers after the other 68, paired by seed; a class keeps 0, 1 or 4 images."""
    settings = QUICK | {f"{name}.{key}": value for key, value in PARAMETERS.items()}
    (first, none), (_, few), (_, many) = (on_first_classes(flowers, name, b, settings, SEEDS) for b in (0, 102, 408))
    # Without exemplars iCaRL has no class means, so it never knew what it could forget.
    assert name == "icarl" or np.mean(first) > 0.8
    assert np.mean(none) < 0.1
    assert ttest_rel(few, none, alternative="greater").pvalue < 0.05
    assert ttest_rel(many, none, alternative="greater").pvalue < 0.05
    # FOSTER's effective numbers hold the old classes from the first exemplar on, at the cost of the new ones.
    assert name == "foster" or np.mean(many) > np.mean(few)


def test_flowers_are_forgotten_under_distillation_alone(flowers: Path) -> None:
    settings = QUICK | {f"lwf.{key}": value for key, value in PARAMETERS.items()}
    first, last = on_first_classes(flowers, "lwf", 408, settings, SEEDS)
    assert ttest_rel(first, last, alternative="greater").pvalue < 0.05
