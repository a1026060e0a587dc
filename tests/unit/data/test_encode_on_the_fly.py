"""``bench run --encoder``: from images to records in one command."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from click.testing import CliRunner, Result

from bench.cache import FeatureCache
from bench.cli.main import main
from bench.data.cache_listing import list_spaces, prune
from bench.data.encode_on_the_fly import encode_all
from bench.data.glyphs.dataset import Size, load
from bench.data.names import GLYPHS_WITH
from bench.data.registry import resolve
from bench.data.thumbnails import thumbnails
from bench.encoders import load_encoder
from bench.explain.replay import same_data
from bench.scenarios.supervised import Supervised
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests.unit.pictures import lay_out, noise

FILES = {f"{name}/{n}.png": 10 * row + n for row, name in enumerate(("big cat", "dog")) for n in range(5)}


@pytest.fixture
def spec(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return f"tiny-vit:{tiny / 'tiny-vit.safetensors'}"


def run(*more: str) -> Result:
    common = ["run", "--scenario", "supervised", "--methods", "knn,zero-shot", "--seeds", "1", "--device", "cpu"]
    return CliRunner().invoke(main, [*common, "--out", "runs", "--quiet", *more])


def test_a_folder_without_splits_becomes_records(spec: str, tmp_path: Path) -> None:
    lay_out(tmp_path / "animals", FILES)
    (tmp_path / "animals" / "dog" / "broken.png").write_bytes(b"no image")
    done = run("--encoder", spec, "--data", "animals")
    assert done.exit_code == 0, done.output
    assert "set aside dog/broken.png" in done.output
    (pack,) = [entry for entry in list_spaces(tmp_path / "cache") if entry.kind == "pack"]
    assert (pack.rows, pack.encoder, pack.readable) == (10, spec, True)
    dataset = resolve(pack.folder)
    assert (dataset.name, len(dataset.role("query")), len(dataset.role("support"))) == ("animals", 2, 8)
    # An explanation finds the pack by the name in the records, and its images where they lay.
    records = pd.concat(pd.read_parquet(file) for file in Path("runs").rglob("records/*.parquet"))
    again = same_data("animals", {str(k): v for k, v in records.iloc[0].items()})
    show = thumbnails(again)
    assert all(show(name) for name in again.role("query").ids.tolist())
    with pytest.raises(BenchError, match="no feature pack"):
        same_data("animals", {"features_fingerprint": "other"})
    # A second run encodes nothing and finds its records again; a changed image is noticed.
    assert "2 cells" in run("--encoder", spec, "--data", "animals").output
    assert len(list(Path("runs").iterdir())) == 1
    noise(99).save(tmp_path / "animals" / "dog" / "0.png")
    assert run("--encoder", spec, "--data", "animals").exit_code == 0
    assert len(list(Path("runs").iterdir())) == 2
    files, size = prune(tmp_path / "cache", everything=True)
    assert min(files, size) > 0
    assert not list_spaces(tmp_path / "cache")


def test_a_standard_data_set_by_its_folder(spec: str, tmp_path: Path) -> None:
    def never(_: object) -> None:
        raise AssertionError("nothing was encoded")

    with pytest.raises(BenchError, match=r"dtd: .* lacks images"):
        encode_all([f"dtd:{tmp_path}"], [spec], device="cpu", progress=False, said=never)


@pytest.mark.parametrize(
    ("data", "message"),
    [("nowhere", "no folder of images"), ("dtdd:x", "no folder of images"), ("made", "leave --encoder out")],
)
def test_what_cannot_be_encoded_is_one_line(spec: str, tmp_path: Path, data: str, message: str) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "pack.yaml").write_text("format: 1\n")
    done = run("--encoder", spec, "--data", data)
    assert done.exit_code == 2
    assert message in done.output
    assert done.output.count("\n") == 1


def test_glyphs_in_another_encoders_space(spec: str, tmp_path: Path) -> None:
    assert encode_all(["glyphs"], ["glyphs"], device="cpu", progress=False, said=print) == ["glyphs"]
    assert encode_all(["glyphs"], [spec], device="cpu", progress=False, said=print) == [GLYPHS_WITH + spec]
    size = Size(seen=2, validation=1, unseen=1, support=2, query=1, held_out=1, images=2, sentences=2)
    dataset = load(size, encoder=spec, cache=FeatureCache(tmp_path / "cache"))
    dataset.check()
    assert (dataset.card.encoder, dataset.dimension, dataset.card.near) == (spec, 16, 0.97)
    assert dataset.pictures is not None
    assert dataset.pictures.encoder == spec


def test_several_encoders_meet_the_same_shots(spec: str, tiny: Path, tmp_path: Path) -> None:
    lay_out(tmp_path / "animals", FILES)
    other = f"tiny-resnet:{tiny / 'tiny-resnet.safetensors'}"
    done = run("--encoder", spec, "--encoder", other, "--data", "animals", "--set", "supervised.shots=2")
    assert done.exit_code == 0, done.output
    (folder,) = Path("runs").iterdir()
    found = pd.concat(pd.read_parquet(file) for file in folder.rglob("records/*.parquet"))
    assert sorted(found["encoder"].unique()) == sorted([spec, other])
    assert found["dataset"].nunique() == 2
    assert all(name.startswith("animals@tiny-") for name in found["dataset"])
    assert found["items"].nunique() == found["query_items"].nunique() == 1
    packs = [resolve(entry.folder) for entry in list_spaces(tmp_path / "cache") if entry.kind == "pack"]
    dealt = []
    for dataset in packs:
        recipe = Supervised(shots=2)
        episode = recipe.deal(dataset, next(iter(recipe.conditions(dataset))), rng=Stream(0))
        dealt.append(sorted(episode.sessions[0].task.support.ids.tolist()))
    assert dealt[0] == dealt[1]
    assert len(dealt[0]) == 4


def test_a_second_encoder_that_is_none_is_told_before_the_first_has_encoded(spec: str, tmp_path: Path) -> None:
    lay_out(tmp_path / "animals", {f"{c}/{n}.png": 10 * n + len(c) for c in ("cat", "horse") for n in range(3)})
    done = run("--encoder", spec, "--encoder", f"tiny-vit:{tmp_path}/none.safetensors", "--data", "animals")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "none.safetensors" in done.output
    assert not list_spaces(tmp_path / "cache")


def test_prompts_of_ones_own(spec: str, tmp_path: Path) -> None:
    lay_out(tmp_path / "animals", FILES)
    (tmp_path / "mine.txt").write_text("a drawing of a {}\n")
    assert run("--encoder", spec, "--data", "animals", "--templates", "mine.txt").exit_code == 0
    (pack,) = [entry for entry in list_spaces(tmp_path / "cache") if entry.kind == "pack"]
    made = load_encoder(spec).encode_texts(["a drawing of a big cat", "a drawing of a dog"]).x
    torch.testing.assert_close(resolve(pack.folder).prompts.x, made, atol=1e-5, rtol=0)
    for option in (("--templates", "photo"), ("--texts", "synthesised")):
        done = run("--data", "glyphs", *option)
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
        assert "name an encoder, or leave it out" in done.output
    done = run("--encoder", spec, "--data", "animals", "--texts", "synthesised")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "cannot be synthesised" in done.output


def test_what_needs_texts_is_skipped_for_an_encoder_without_a_text_tower(spec: str, tmp_path: Path) -> None:
    lay_out(tmp_path / "animals", FILES)
    name = "test_vit3.r160_in1k"
    torch.save(timm.create_model(name).state_dict(), tmp_path / "weights.pth")
    done = run("--encoder", f"timm:{name}:weights.pth", "--data", "animals")
    assert done.exit_code == 0, done.output
    assert "zero-shot" in done.output
    assert f"encoder timm:{name}:weights.pth has no text tower" in done.output
    (folder,) = Path("runs").iterdir()
    found = pd.concat(pd.read_parquet(file) for file in folder.rglob("records/*.parquet")).set_index("method")
    assert found["status"].to_dict() == {"knn": "ok", "zero-shot": "skipped"}
    assert found["encoder_flops"]["knn"] > 10**6
