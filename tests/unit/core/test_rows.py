"""What features and memory items share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.core.features import Features
from bench.core.memory import Items
from bench.core.rows import Rows
from bench.utils.errors import BenchError
from bench.utils.hashing import digest

X = torch.arange(8.0).reshape(4, 2) + 1
LABELS = torch.tensor([7, 3, 7, 9])
IDS = np.array(["a", "b", "c", "d"])
SOURCES = np.array(["web", "web", "wiki", "wiki"])
NAMES = tuple("class" + str(n) for n in range(10))

BOTH = pytest.mark.parametrize(
    ("rows", "last"),
    [(Features(X, LABELS, IDS, NAMES), NAMES), (Items(X, LABELS, IDS, SOURCES), SOURCES)],
    ids=["features", "items"],
)


@BOTH
def test_a_fingerprint_is_that_of_the_fields_in_order(rows: Rows, last: object) -> None:
    assert rows.fingerprint == digest(X, LABELS, IDS, last)


@BOTH
def test_taken_rows_keep_everything_of_theirs(rows: Rows, last: object) -> None:
    some = rows.take([2, 0])
    assert type(some) is type(rows)
    assert (some.x.tolist(), some.labels.tolist(), some.ids.tolist()) == ([[5, 6], [1, 2]], [7, 7], ["c", "a"])
    if isinstance(some, Items):
        assert some.sources.tolist() == ["wiki", "web"]
    assert rows.of_classes([9, 3]).ids.tolist() == ["b", "d"]
    assert rows.take(torch.ones(4, dtype=torch.bool)) is rows


@BOTH
def test_parts_joined_are_the_whole(rows: Rows, last: object) -> None:
    joined = type(rows).concat([rows.emptied(), rows.take([0, 1]), rows.take([2, 3])])
    assert joined.fingerprint == rows.fingerprint
    assert len(rows.emptied()) == 0
    assert rows.emptied().dimension == 2


@BOTH
def test_parts_of_other_dimensions_are_refused_and_the_widest_dtype_wins(rows: Rows, last: object) -> None:
    other = type(rows).concat([rows.take([0]).to("cpu"), rows.take([1])])
    assert other.x.dtype == torch.float32
    wide = Features(torch.ones(1, 3), LABELS[:1], IDS[:1], NAMES)
    narrow = Features(X.half(), LABELS, IDS, NAMES)
    assert Features.concat([narrow, Features(X, LABELS, IDS, NAMES)]).x.dtype == torch.float32
    with pytest.raises(BenchError, match=r"cannot join features of \[2, 3\] dimensions"):
        Features.concat([narrow, wide])


def test_rows_are_found_by_their_ids_in_whatever_order_they_stand() -> None:
    ids = np.array(["b", "ab", "a", "c/10", "c/1"])
    rows = Features(torch.eye(5), torch.zeros(5, dtype=torch.int64), ids, ("one",))
    asked = np.array(["c/1", "nothing", "a", "zz-a-longer-one", "b", ""])
    assert rows.places_of(asked).tolist() == [4, -1, 2, -1, 0, -1]
    assert rows.emptied().places_of(asked).tolist() == [-1] * 6
