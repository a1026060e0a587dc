"""``--hold-out`` where classes have one image: one line, or the class stays with the support."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench.cli.main import main
from bench.data.registry import resolve
from tests.unit.pictures import lay_out


def imported(folder: Path, labels: list[int], share: str) -> Result:
    x = np.random.default_rng(0).standard_normal((len(labels), 4)).astype(np.float32)
    np.savez(folder / "in.npz", x=x, y=np.array(labels))
    (folder / "names.txt").write_text("fox\nwolf\nlynx\n")
    words = ["data", "import", "in.npz", "--classes", "names.txt", "--out", "pack", "--hold-out", share]
    return CliRunner().invoke(main, words)


def one_line(done: Result, words: str) -> None:
    assert done.exit_code == 2, done.output
    assert len(done.output.strip().splitlines()) == 1
    assert words in done.output


@pytest.mark.parametrize("share", ["0.2", "0.5", "0.99", "1e-9"])
def test_arrays_of_one_row_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    monkeypatch.chdir(tmp_path)
    one_line(imported(tmp_path, [0, 1, 2], share), "no class has more than one")
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize("share", ["0", "1", "-0.2", "1.5"])
def test_shares_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    monkeypatch.chdir(tmp_path)
    one_line(imported(tmp_path, [0, 0, 1, 1, 2, 2], share), "a share between 0 and 1")


@pytest.mark.parametrize("share", ["0.01", "0.5", "0.99"])
def test_a_class_of_one_row_stays_with_the_support(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = imported(tmp_path, [0, 0, 0, 0, 1, 2, 2], share)
    assert done.exit_code == 0, done.output
    data = resolve(tmp_path / "pack")
    support, query = data.role("support").labels.tolist(), data.role("query").labels.tolist()
    assert sorted(support + query) == [0, 0, 0, 0, 1, 2, 2]
    assert set(support) == {0, 1, 2}
    assert set(query) == {0, 2}


@pytest.mark.parametrize("command", ["encode", "run"])
def test_images_of_one_a_class(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    lay_out(tmp_path / "pictures", {"fox/1.png": 1, "wolf/1.png": 2})
    encoder = ["--encoder", f"tiny-vit:{tiny / 'tiny-vit.safetensors'}", "--device", "cpu"]
    words = {
        "encode": ["data", "encode", "pictures", "--hold-out", "0.2", "--templates", "name", "--out", "pack"],
        "run": ["run", "--data", "pictures", "--methods", "knn", "--scenario", "supervised", "--seeds", "1", "--quiet"],
    }
    one_line(CliRunner().invoke(main, [*words[command], *encoder]), "no class has more than one")
    assert not (tmp_path / "pack").exists()
