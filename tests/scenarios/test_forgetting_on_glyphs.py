"""Forgetting on the bundled glyphs: visible without exemplars, smaller with them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from bench.cache import FeatureCache
from bench.core.dataset import Dataset
from bench.data.glyphs.dataset import Size, load
from tests.forgetting import on_first_classes

CLASSES = 20
SETTINGS = {"incremental.increment": 5, "incremental.shots": 6}
PARAMETERS = {"epochs": 10, "min_steps": 30, "hidden": 32, "lr": 3e-3}
SEEDS = 4


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return twenty classes of the data set `glyphs`."""
    size = Size(seen=CLASSES, validation=0, unseen=0, support=6, query=8, held_out=1, images=1, sentences=1)
    return load(size, cache=FeatureCache(tmp_path_factory.mktemp("cache")))


def on_glyphs(glyphs: Dataset, name: str, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    settings = SETTINGS | {f"{name}.{key}": value for key, value in PARAMETERS.items()}
    return on_first_classes(glyphs, name, per_class * CLASSES, settings, SEEDS)


@pytest.mark.parametrize("name", ["replay", "foster", "icarl"])
def test_glyphs_are_forgotten_without_exemplars_and_less_with_more(glyphs: Dataset, name: str) -> None:
    """Accuracy on the first five characters after the other fifteen, paired by seed; a class keeps 0, 1 or 4 images."""
    (first, none), (_, few), (_, many) = (on_glyphs(glyphs, name, kept) for kept in (0, 1, 4))
    # Without exemplars iCaRL has no class means, so it never knew what it could forget.
    assert name == "icarl" or ttest_rel(first, none, alternative="greater").pvalue < 0.01
    assert ttest_rel(few, none, alternative="greater").pvalue < 0.05
    assert ttest_rel(many, none, alternative="greater").pvalue < 0.01
    # One exemplar a class is nearly enough here, so that more can only be no worse. FOSTER's effective numbers hold the
    # old classes from the first exemplar on, at the cost of the new ones, so that it has nothing left to gain.
    assert name == "foster" or np.mean(many) >= np.mean(few)


def test_glyphs_are_forgotten_under_distillation_alone(glyphs: Dataset) -> None:
    first, last = on_glyphs(glyphs, "lwf", 4)
    assert ttest_rel(first, last, alternative="greater").pvalue < 0.01
