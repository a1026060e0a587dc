"""From records to arrays of counts."""

import pandas as pd
import pytest

from bench.reports.metrics.count_stacks import stacks
from bench.utils.errors import BenchError


def test_counts_of_other_lengths_than_the_classes_are_refused():
    frame = pd.DataFrame({"cell": ["c"], "session": [0], "classes": [[1, 2]], "session_kind": ["built"]})
    frame = frame.assign(class_total=[[4, 4]], class_correct=[[4]])
    with pytest.raises(BenchError, match="damaged; run again"):
        list(stacks(frame))


def test_a_cell_whose_classes_come_and_go_leaves_the_others_their_sessions():
    rows = [
        ("grows", 0, [1, 2]),
        ("grows", 1, [1, 2, 3]),
        ("moves", 0, [1, 2]),
        ("moves", 1, [2, 3, 4]),
    ]
    frame = pd.DataFrame(rows, columns=["cell", "session", "classes"]).assign(session_kind="extended")
    frame = frame.assign(class_total=frame["classes"].map(lambda c: [4] * len(c)))
    frame = frame.assign(class_correct=frame["classes"])
    found = {counts.cells[0]: counts for counts in stacks(frame.iloc[::-1])}
    assert found["grows"].correct.tolist() == [[[1, 2, 0], [1, 2, 3]]]
    assert found["moves"].correct.tolist() == [[[2, 3, 4]]]
    assert found["moves"].classes.tolist() == [[2, 3, 4]]
