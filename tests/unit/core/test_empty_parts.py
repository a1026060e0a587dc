"""Parts without rows: they follow what they stand beside, in device and dtype."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.learning.exemplars import carry, choose, cut
from tests import toy

META = torch.device("meta")
"""A device without values: enough to see where a tensor is made."""


def elsewhere(n: int) -> Features:
    return Features(
        torch.empty(n, 4, dtype=torch.float16, device=META),
        torch.empty(n, dtype=torch.int64, device=META),
        np.arange(n).astype("U"),
        ("a", "b"),
    )


def test_emptied_parts_stay_on_the_device_and_in_the_dtype() -> None:
    features = elsewhere(3)
    items = Items.of_features(features, "web")
    memory = Memory(items, items).emptied()
    for x, labels in (
        (features.emptied().x, features.emptied().labels),
        (memory.images.x, memory.images.labels),
        (memory.texts.x, memory.texts.labels),
    ):
        assert (x.device, labels.device) == (META, META)
        assert (x.dtype, labels.dtype) == (torch.float16, torch.int64)
        assert (tuple(x.shape), tuple(labels.shape)) == ((0, 4), (0,))
    assert len(features.emptied().ids) == len(memory.images.ids) == len(memory.texts.sources) == 0
    assert features.emptied().class_names == ("a", "b")


def test_parts_without_rows_give_neither_dtype_nor_device() -> None:
    features = elsewhere(3)
    nothing = Features.empty(4, ("a", "b"))
    assert Features.concat([nothing, features, nothing]) is features
    both = Features.concat([nothing, features, elsewhere(2)])
    assert (both.x.device, both.x.dtype, len(both)) == (META, torch.float16, 5)
    assert len(Features.concat([nothing, nothing])) == 0


@pytest.mark.parametrize("quota", [None, 2])
def test_positions_of_no_rows_are_made_where_the_labels_lie(quota: int | None) -> None:
    labels = torch.empty(0, dtype=torch.int64)
    assert choose(torch.empty(0, 4), labels, quota).dtype == cut(labels, quota).dtype == torch.int64
    assert choose(torch.empty(3, 4, device=META), torch.empty(3, device=META), None).device == META


def test_exemplars_of_half_precision_are_kept_in_half_precision() -> None:
    task = toy.task(images=False, texts=False)
    halved = replace(task, support=replace(task.support, x=task.support.x.half()))
    whole, small = carry(None, halved, stores_items=False, texts=True)
    assert whole.support.x.dtype == small.support.x.dtype == torch.float16
    later, _ = carry(small, halved, stores_items=False, texts=False)
    assert later.support.x.dtype == torch.float16
