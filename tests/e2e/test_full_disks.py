"""Commands where nothing can be written: one line and status 2, no half of a file, and the same command goes on later.

A limit on the size of files stands for a full disk: it needs no rights, and is met in the middle of a write.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import bench
from bench.cli.main import main
from bench.runner import api
from bench.utils.errors import BenchError
from tests.faults import commands as made

resource = pytest.importorskip("resource")

BYTES = 400
"""Of a file; each of the commands writes one that is larger."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "--methods", "protonet", "--data", "digits", "--seeds", "1", "--quiet", "--device", "cpu"),
    "run on images": ("run", "--data", "images", "--methods", "knn", "--seeds", "1", "--encoder", "glyphs", "--quiet"),
    "report": ("report", "runs"),
    "table": ("table", "runs", "--format", "latex"),
    "import": ("data", "import", "birds.npz", "--classes", "classes.txt"),
    "encode": ("data", "encode", "images", "--encoder", "glyphs", "--device", "cpu"),
    "fit": ("fit", "--method", "gda", "--data", "pack", "--device", "cpu"),
    "edit": ("edit", "kept", "remove", "--class", "a"),
    "push": ("push", "runs/one"),
    "pull": ("pull", "store"),
}
"""What is asked of the folder that the fixture makes; each writes to a folder or a file ``new``."""

_AS_ARGUMENT = ("push", "pull")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    made._arrays(folder)
    made._images(folder)
    made._pushed(folder)
    made._kept(folder)
    (folder / "out").rename(folder / "pack")
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in template.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@contextmanager
def small_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def words(name: str) -> Sequence[str]:
    return [*COMMANDS[name], "new"] if name in _AS_ARGUMENT else [*COMMANDS[name], "--out", "new"]


def made_files(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_and_the_command_goes_on_later(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_files():
        done = CliRunner().invoke(main, words(name))
    assert done.exit_code == 2, done.output
    *_, line = (one for one in done.stderr.splitlines() if not one.startswith(("warning: ", "\r")))
    assert line.startswith("bench: cannot write"), done.stderr
    assert "Traceback" not in done.output
    assert not [path for path in made_files(place) if path.stat().st_size >= BYTES or path.name.endswith(".tmp")]
    # No command needs a folder for temporary files.
    monkeypatch.setattr(tempfile, "tempdir", str(place / "nowhere"))
    again = CliRunner().invoke(main, words(name))
    assert again.exit_code == 0, again.output
    assert [path for path in made_files(place) if path.stat().st_size > BYTES]


@pytest.mark.parametrize("run", [bench.run, api.run])
def test_a_notebook_without_a_folder_for_temporary_files(
    run: object, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place / "nowhere"))
    with pytest.raises(BenchError, match="set TMPDIR") as caught:
        run(methods="protonet", data="digits", seeds=1)  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_an_index_that_cannot_be_written(place: Path) -> None:
    faiss_store = pytest.importorskip("bench.search.approximate.faiss_store")
    recipe = importlib.import_module("bench.search.approximate.faiss_recipes").HNSW(m=8)
    keys = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    index = recipe.build(keys)
    with small_files(), pytest.raises(BenchError, match="free some space"):
        faiss_store.save(index, place / "index", recipe, "x")
    assert not list((place / "index").iterdir())
