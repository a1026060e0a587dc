"""``bench data cache``: what is kept, whether it is whole, and what is removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cache import FeatureCache
from bench.cache.store import SUFFIX
from bench.cli.main import main
from bench.data.images import encode_source, image_folder
from bench.encoders import load_encoder
from tests.unit.pictures import lay_out


@pytest.fixture
def cache(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache of six images, which the commands find."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = lay_out(tmp_path / "images", {f"cat/{n}.png": n for n in range(6)})
    encoder = load_encoder(f"tiny-vit:{tiny}/tiny-vit.safetensors")
    encode_source(encoder, image_folder(folder).items, cache=FeatureCache(tmp_path / "cache"))
    return tmp_path / "cache"


def ask(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["data", "cache", *arguments])
    return done.exit_code, done.output


def test_what_is_kept_is_listed_as_text_and_as_json(cache: Path) -> None:
    code, text = ask("list")
    assert code == 0
    assert "6 rows" in text
    assert text.endswith(f"1 spaces in {cache}\n")
    (entry,) = json.loads(ask("list", "--json")[1])
    assert (entry["rows"], entry["kind"], entry["readable"]) == (6, "image", True)
    assert entry["name"] in text


def test_a_damaged_file_is_named_and_pruned(cache: Path) -> None:
    code, text = ask("verify")
    assert (code, text.endswith("files, 0 damaged\n")) == (0, True)
    victim = next(cache.rglob(f"*{SUFFIX}"))
    victim.write_bytes(victim.read_bytes()[:-8])
    code, text = ask("verify")
    assert code == 2
    assert str(victim) in text
    assert "remove them with `bench data cache prune`" in text
    assert ask("prune")[1].startswith("removed 1 files")
    assert ask("verify")[0] == 0
    assert not victim.exists()


def test_an_empty_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "none"))
    assert ask("list") == (0, f"0 spaces in {tmp_path / 'none'}\n")
    assert ask("verify") == (0, "0 files, 0 damaged\n")
