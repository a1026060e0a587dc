"""Compares retrieval classifiers: ``bench.run(...)`` does in a notebook what ``bench run`` does in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.utils.errors import BenchError, Unsuitable
from bench.utils.version import __version__

if TYPE_CHECKING:
    from bench.classifier import Classifier
    from bench.core.dataset import Dataset
    from bench.core.registry import method, scenario
    from bench.notebook.api import run

__all__ = ["BenchError", "Classifier", "Dataset", "Unsuitable", "__version__", "method", "run", "scenario"]

_LAZY = {
    "Classifier": "bench.classifier",
    "run": "bench.notebook.api",
    "Dataset": "bench.core.dataset",
    "method": "bench.core.registry",
    "scenario": "bench.core.registry",
}


def __getattr__(name: str) -> Any:
    # Imported when first used, so that `bench --help` does not wait for torch and pandas.
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
