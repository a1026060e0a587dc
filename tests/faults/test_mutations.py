"""The short form of ``python -m tests.faults.mutate``, with inputs that hypothesis draws."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.fuzz import corpus, target
from tests.faults.mutate import MUTATIONS, Templates, mutate
from tests.faults.readers import READERS


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("templates"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(READERS)), seed=st.integers(0, 10**6))
def test_a_mutated_input_is_read_rightly_or_refused_in_one_line(
    templates: Templates, tmp_path_factory: pytest.TempPathFactory, name: str, seed: int
) -> None:
    came, done = mutate(name, seed, templates, tmp_path_factory.mktemp("input"))
    assert came in ("right", "refused"), f"{done}: {came}"


@pytest.mark.parametrize("name", READERS)
def test_a_good_input_is_read(templates: Templates, tmp_path: Path, name: str) -> None:
    given = templates.copy(name, tmp_path / "given")
    assert READERS[name].read(tmp_path / "given") == given


def test_every_mutation_changes_something() -> None:
    import random

    for mutation in MUTATIONS:
        changed = {mutation(b'{"a": [1, 2], "b": "c"}\n', random.Random(seed)) for seed in range(20)}
        assert changed - {b'{"a": [1, 2], "b": "c"}\n'}, mutation


def test_what_must_not_be_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that fails in each of the ways, so that the harness is known to see them."""
    import os
    import signal
    import time

    from bench.utils.errors import BenchError
    from tests.faults import mutate as harness
    from tests.faults.reader import Reader

    def lines(folder: Path) -> str:
        raise BenchError("one\ntwo")

    def crash(folder: Path) -> str:
        os.kill(os.getpid(), signal.SIGSEGV)
        return ""

    def hang(folder: Path) -> str:
        time.sleep(30)
        return ""

    def outside(folder: Path) -> str:
        (folder.parent / "victim").write_text("changed")
        return ""

    def memory(folder: Path) -> str:
        return str(len(bytearray(3 << 30)))

    def wrong(folder: Path) -> str:
        return (folder / "a").read_text() if (folder / "a").is_file() else "x"

    monkeypatch.setattr(harness, "SECONDS", 1)
    ways = {"lines": lines, "crash": crash, "hang": hang, "outside": outside, "memory": memory, "wrong": wrong}
    for way, read in ways.items():
        folder = tmp_path / way
        folder.mkdir()
        reader = Reader(lambda place: (place / "a").write_text("good") and None, read, ("a",), sealed=True)
        monkeypatch.setitem(harness.READERS, "odd", reader)  # type: ignore[misc]
        known = Templates(tmp_path / f"{way}-templates")
        known._known["odd"] = "good"
        (tmp_path / f"{way}-templates" / "odd").mkdir(parents=True)
        (tmp_path / f"{way}-templates" / "odd" / "a").write_text("good")
        came, _ = mutate("odd", 3, known, folder)
        assert came.partition(":")[0] == way, came


@pytest.mark.parametrize("name", ["manifest", "records", "class list"])
def test_the_target_of_a_fuzzer_reads_good_inputs_and_notices_others(name: str, tmp_path: Path) -> None:
    read = target(name, tmp_path / "work")
    corpus(name, tmp_path / "work" / "template", tmp_path / "corpus")
    good = [path.read_bytes() for path in sorted((tmp_path / "corpus").iterdir())]
    assert good
    for data in (*good, b"", b"\x00", good[0][:-3]):
        read(data)


def test_a_fuzzer_is_told_of_what_must_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.utils.errors import BenchError
    from tests.faults.reader import Reader

    def read(folder: Path) -> str:
        content = (folder / "a").read_bytes()
        if content == b"lines":
            raise BenchError("one\ntwo")
        if content == b"one line":
            raise BenchError("one")
        return str(content)

    reader = Reader(lambda place: (place / "a").write_text("good") and None, read, ("a",), sealed=True)
    monkeypatch.setitem(READERS, "odd", reader)  # type: ignore[misc]
    fuzz = target("odd", tmp_path / "work")
    fuzz(b"\x00good")
    fuzz(b"\x00one line")
    for bad in (b"\x00lines", b"\x00other"):
        with pytest.raises(AssertionError):
            fuzz(bad)
