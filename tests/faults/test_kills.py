"""The short form of ``python -m tests.faults.kill``."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.children import Broken, killed
from tests.faults.commands import KINDS, Kind
from tests.faults.harness import Harness
from tests.faults.kill import Tally
from tests.faults.together import PROCESSES


@pytest.mark.parametrize("name", ["run", "training", "import", "merge"])
def test_a_few_kills_lose_change_and_leave_nothing(name: str) -> None:
    # In an interpreter of its own: forked children of a test process would hold its threads.
    command = [sys.executable, "-m", "tests.faults.kill", "--count", "3", "--kind", name]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills" in done.stdout


def test_what_a_kill_changes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that begins anew instead of going on, and leaves a file behind."""
    import random

    def work(folder: Path) -> None:
        mark = folder / "mark.tmp"
        (folder / "result").write_text("again" if mark.exists() else "once")
        mark.touch()
        (folder / "end").touch()

    kind = Kind(lambda folder: None, work, lambda folder: {"result": (folder / "result").read_text()})
    monkeypatch.setitem(KINDS, "odd", kind)  # type: ignore[misc]
    harness = Harness("odd", tmp_path)
    harness.__dict__["whole"] = ({"result": "once"}, 0.1, {"Path.touch": 2})
    monkeypatch.setattr(Harness, "_moment", lambda *_: ("Path.touch", 1))
    with pytest.raises(Broken, match="1 of 1 are otherwise"):
        harness.round(random.Random(0), 1, Counter())


def test_a_child_dies_when_it_is_told_to(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "a").touch()
        (tmp_path / "b").touch()

    assert killed(work, ("Path.touch", 1))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert not killed(work, ("Path.touch", 9))


def test_a_form_that_is_cut_short_covers_all_kinds() -> None:
    tally = Tally()
    for _ in range(100):
        name = tally.next_kind([*KINDS, *PROCESSES])
        assert name is not None
        tally.kinds[name] += 1
    shares = {**{name: kind.share for name, kind in KINDS.items()}, **PROCESSES}
    assert sum(shares.values()) == 100
    assert tally.kinds == shares


def test_a_kind_that_is_broken_again_and_again_is_left() -> None:
    tally = Tally()
    tally.failures["run"] = 5
    assert tally.next_kind(["run"]) is None
    assert tally.next_kind(["run", "push"]) == "push"
    assert str(tally).endswith("5 failures")
