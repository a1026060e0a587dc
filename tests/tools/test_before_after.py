"""The table of two versions: a version beside itself, and what is made of numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.before_after import NotMeasured, measured, table


def test_medians_are_set_beside_each_other() -> None:
    def run(seconds: float, own: float | None) -> dict[str, object]:
        return {"seconds": seconds, "methods": {"mml": [50.0, own]}}

    lines = table([run(9.0, 6.0), run(8.0, 4.0), run(30.0, 5.0)], [run(4.0, 2.0)]).splitlines()
    assert lines[2:] == [
        "| whole run, start included | 9.0 | 4.0 | 2.25 | | |",
        "| mml | 5.0 | 2.0 | 2.50 | 50.0 | 50.0 |",
    ]
    assert table([run(9.0, None)], [run(4.0, 2.0)]).splitlines()[3] == "| mml |  |  |  | 50.0 | 50.0 |"


def test_a_run_is_measured_in_a_process_of_its_own() -> None:
    given = {"scenario": "supervised", "methods": ["protonet"], "data": "digits", "seeds": 1, "device": "cpu"}
    found = measured(Path(sys.executable), given)
    accuracy, seconds = found["methods"]["protonet"]
    assert accuracy > 70
    assert 0 < seconds < found["seconds"]
    with pytest.raises(NotMeasured, match="nonsense"):
        measured(Path(sys.executable), {**given, "methods": ["nonsense"]})
