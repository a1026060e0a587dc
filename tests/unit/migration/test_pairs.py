"""Which images two encoders have in common, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.data.glyphs.dataset import Size, load
from bench.encoders import load_encoder
from bench.migration.pairs import encoded_twice
from bench.utils.errors import BenchError
from tests.unit.migration import twice


def with_split(dataset: Dataset, name: str, part: Features) -> Dataset:
    return replace(dataset, splits={**dataset.splits, name: part})


def test_images_are_matched_by_their_ids() -> None:
    first = twice.old()
    second = twice.new(first)
    found = encoded_twice(first, second)
    assert found.encoders == ("first", "second")
    assert found.flops == 1000
    assert found.seconds is None
    for role, (ours, theirs) in (("support", found.items), ("query", found.queries)):
        assert ours.ids.tolist() == theirs.ids.tolist() == first.role(role).ids.tolist()
        place = {name: row for row, name in enumerate(second.role(role).ids.tolist())}
        torch.testing.assert_close(theirs.x, second.role(role).x[[place[name] for name in ours.ids.tolist()]])
        assert (ours.labels == theirs.labels).all()


def test_other_images_are_refused() -> None:
    first = twice.old()
    second = twice.new(first)
    support = second.splits["train"]
    renamed = Features(support.x, support.labels, np.char.add("x", support.ids), support.class_names)
    with pytest.raises(BenchError, match=r"not of the same images .40 and 40, and train/0 is in one"):
        encoded_twice(first, with_split(second, "train", renamed))
    with pytest.raises(BenchError, match="39"):
        encoded_twice(first, with_split(second, "train", support.take(list(range(39)))))
    relabelled = Features(support.x, (support.labels + 1) % 5, support.ids, support.class_names)
    with pytest.raises(BenchError, match="is another one in each"):
        encoded_twice(first, with_split(second, "train", relabelled))


def test_an_encoder_needs_the_images_and_another_space() -> None:
    first = twice.old()
    with pytest.raises(BenchError, match=r"toy has features only .train/0 has no image., so glyphs cannot encode"):
        encoded_twice(first, "glyphs")
    with pytest.raises(BenchError, match="in the space of that encoder already"):
        encoded_twice(first, replace(twice.new(first), card=first.card))
    with pytest.raises(BenchError, match="no labelled images and queries"):
        encoded_twice(replace(first, roles={"query": ("test",)}), twice.new(first))


def test_images_at_hand_are_encoded_again() -> None:
    small = Size(seen=2, validation=1, unseen=1, support=2, query=1, held_out=1, images=1, sentences=1)
    drawn = load(small)
    features_before = replace(drawn, card=replace(drawn.card, encoder="another"))
    found = encoded_twice(features_before, "glyphs")
    torch.testing.assert_close(found.items[1].x, drawn.role("support").x, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.queries[1].x, drawn.role("query").x, atol=1e-5, rtol=0)
    assert found.flops == load_encoder("glyphs").flops
    with pytest.raises(BenchError, match=r"already .glyphs."):
        encoded_twice(drawn, "glyphs")
