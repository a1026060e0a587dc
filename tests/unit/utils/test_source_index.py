"""What source files say is kept between processes, and is never out of date."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bench.runner.config import RunConfig
from bench.runner.plan import plan
from bench.utils import source, source_index
from bench.utils.source import Source, read


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "KNOWN", {})
    monkeypatch.setattr(source_index, "_HELD", {})
    source._read.cache_clear()


def parsed(path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Source, bool]:
    """Return what a new process is told of a file, and whether it parsed it."""
    forget(monkeypatch)
    asked = []
    with monkeypatch.context() as patch:
        parse = source._parsed
        patch.setattr(source, "_parsed", lambda content: (asked.append(content), parse(content))[1])
        with source_index.source_index(index):
            return read(path), bool(asked)


def test_a_second_process_parses_what_is_new_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, index = tmp_path / "a.py", tmp_path / "cache" / "sources.json"
    file.write_text("import torch\nfrom . import b\nX = 'words.txt'\n")
    first, new = parsed(file, index, monkeypatch)
    assert new
    assert parsed(file, index, monkeypatch) == (first, False)
    assert first.imports == ((0, "torch", None), (1, "", "b"))
    assert first.texts == {"words.txt"}
    # Same size, same time of change, other content: a stamp would not tell them apart.
    stat = file.stat()
    file.write_text("import torch\nfrom . import c\nX = 'words.txt'\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second, new = parsed(file, index, monkeypatch)
    assert new
    assert second.digest != first.digest
    file.write_text("import torch\nfrom . import b\nX = 'words.txt'\n")
    assert parsed(file, index, monkeypatch) == (first, False)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "other python", "no object", "folder"])
def test_a_damaged_index_is_as_none_and_is_written_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, index = tmp_path / "a.py", tmp_path / "sources.json"
    file.write_text("X = 1\n")
    first, _ = parsed(file, index, monkeypatch)
    whole = index.read_bytes()
    if damage == "flipped":
        index.write_bytes(whole.replace(first.digest.encode(), first.digest[::-1].encode()))
    elif damage == "folder":
        index.unlink()
        index.mkdir()
    elif damage == "other python":
        with monkeypatch.context() as patch:
            patch.setattr(source_index, "_reader", lambda: "another")
            assert parsed(file, index, monkeypatch) == (first, True)
    else:
        content = {"cut": whole[:-9], "empty": b"", "no object": b"74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c0"}
        index.write_bytes(content[damage])
    assert parsed(file, index, monkeypatch) == (first, True)
    assert parsed(file, index, monkeypatch) == (first, damage == "folder")


def test_it_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_index, "_MOST", 3)
    file, index = tmp_path / "a.py", tmp_path / "sources.json"
    for number in (0, 1, 2, 3, 0, 4):
        file.write_text(f"X = {number}\n")
        parsed(file, index, monkeypatch)
    for number, new in ((4, False), (0, False), (3, False), (1, True)):
        file.write_text(f"X = {number}\n")
        assert parsed(file, index, monkeypatch)[1] == new, number


def test_a_run_is_planned_alike_with_an_index_without_one_and_where_none_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    config: dict[str, Any] = {"methods": ["protonet"], "data": ["digits"], "seeds": 1, "out": tmp_path / "runs"}
    names = []
    for cache in (tmp_path / "cache", tmp_path / "cache", blocked):
        forget(monkeypatch)
        monkeypatch.setattr(source, "_DIGESTS", {})
        monkeypatch.setenv("BENCH_CACHE", str(cache))
        names.append(plan(RunConfig(**config)).name)
    assert len(set(names)) == 1
    assert (tmp_path / "cache" / "sources.json").is_file()
