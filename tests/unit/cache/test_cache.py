"""The cache: what shapes a feature is its key, and nothing that happens to its files gives a wrong feature."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from bench.cache import FeatureCache, cache_root
from bench.cache.store import content_key
from bench.cli.main import main
from bench.data.cache_listing import list_spaces, prune, verify
from bench.data.images import encode, encode_source, encode_texts, image_folder
from bench.data.images.encode import image_space
from bench.encoders import Encoder, class_texts, load_encoder
from bench.encoders.prompts import of_strings
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out, noise


@pytest.fixture(scope="module")
def encoder(tiny: Path) -> Encoder:
    return load_encoder(f"tiny-vit:{tiny}/tiny-vit.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "images", {f"{c}/{n}.png": 10 * n + len(c) for c in ("cat", "horse") for n in range(5)})


def test_what_was_encoded_is_found(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    items = image_folder(folder).items
    plain = encode_source(encoder, items, cache=None)
    first = encode_source(encoder, items, cache=cache)
    again = encode_source(encoder, items, cache=cache)
    backwards = encode_source(encoder, items[::-1], cache=cache)
    assert (plain.encoded, first.encoded, again.encoded, backwards.encoded) == (10, 10, 0, 0)
    assert torch.equal(first.x, plain.x)
    assert torch.equal(again.x, plain.x)
    assert torch.equal(again.perceptual, plain.perceptual)
    assert torch.equal(backwards.x, plain.x.flip(0))
    assert again.content == [content_key(item.read()) for item in items]


def test_a_changed_and_a_new_file_are_encoded_alone(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    encode_source(encoder, image_folder(folder).items, cache=cache)
    noise(999).save(folder / "cat/2.png")
    noise(998).save(folder / "cat/10.png")
    shutil.copy(folder / "cat/3.png", folder / "cat/11.png")
    items = image_folder(folder).items
    found = encode_source(encoder, items, cache=cache)
    assert found.encoded == 2
    assert torch.allclose(found.x, encode_source(encoder, items, cache=None).x, atol=1e-5)


def test_everything_that_shapes_a_feature_changes_its_place(tiny: Path, folder: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    spec = f"tiny-vit:{tiny}/tiny-vit.safetensors"
    base = load_encoder(spec)
    import open_clip

    state = open_clip.factory.load_state_dict(str(tiny / "tiny-vit.safetensors"))
    state["visual.proj"] = state["visual.proj"] * 1.001
    torch.save(state, tmp_path / "other.pt")
    variants = [
        load_encoder(f"tiny-vit:{tmp_path}/other.pt"),
        load_encoder(spec, precision="bf16"),
        load_encoder(spec, projected=False),
        load_encoder(spec, quick_gelu=True),
    ]
    config = (tiny / "tiny-vit.json").read_text()
    for number, preprocess in enumerate(({"mean": [0.1, 0.2, 0.3]}, {"interpolation": "bilinear"})):
        place = tmp_path / f"dir{number}"
        place.mkdir()
        (place / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": json.loads(config), "preprocess_cfg": preprocess})
        )
        shutil.copy(tiny / "tiny-vit.safetensors", place)
        variants.append(load_encoder(f"local-dir:{place}"))
    items = image_folder(folder).items
    encode_source(base, items, cache=cache)
    for variant in variants:
        assert encode_source(variant, items, cache=cache).encoded == len(items)
    assert len(list_spaces(cache.root)) == len(variants) + 1


def test_templates_share_the_cache_without_mixing(encoder: Encoder, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    names = ["cat", "dog", "a name that is much longer than the context of this encoder allows for it to be"]
    for strings in (["a {}"], ["the {}"], ["a {}", "the {}"], ["a {}"]):
        templates = of_strings(strings, "here")
        cached = class_texts(lambda texts: encode_texts(encoder, texts, cache=cache), names, templates)
        direct = class_texts(encoder, names, templates)
        torch.testing.assert_close(cached.x, direct.x, atol=1e-5, rtol=0)
        assert cached.truncated == direct.truncated == len(strings)


def test_a_stopped_run_goes_on(encoder: Encoder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "BLOCK", 3)
    cache = FeatureCache(tmp_path / "cache")
    items = list(image_folder(folder).items)

    def stop() -> bytes:
        raise KeyboardInterrupt

    broken = [*items[:7], type(items[0])("cat/x.png", "cat", stop), *items[7:]]
    with pytest.raises(KeyboardInterrupt):
        encode_source(encoder, broken, cache=cache, workers=0)
    found = encode_source(encoder, items, cache=cache)
    assert found.encoded == 4
    assert torch.allclose(found.x, encode_source(encoder, items, cache=None).x, atol=1e-5)


def test_bad_images_are_set_aside_wherever_they_are(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    (folder / "cat/0a.png").write_bytes(b"broken")
    noise(5).save(folder / "horse/zz.gif", save_all=True, append_images=[noise(6)])
    cache = FeatureCache(tmp_path / "cache")
    for _ in range(2):
        found = encode_source(encoder, image_folder(folder).items, cache=cache)
        assert {(s.id, s.reason) for s in found.set_aside} == {
            ("cat/0a.png", "not an image of a known format"),
            ("horse/zz.gif", "animated or multi-page image"),
        }
        assert len(found.x) == len(found.items) == len(found.content) == len(found.perceptual) == 10
    by_hand = encoder.encode_images([Image.open(folder / item.id) for item in found.items])
    assert torch.allclose(found.x, by_hand, atol=1e-5)


def shards(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.safetensors"))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_left_out_and_pruned(encoder: Encoder, folder: Path, tmp_path: Path, damage: str) -> None:
    cache = FeatureCache(tmp_path / "cache")
    items = image_folder(folder).items
    good = encode_source(encoder, items, cache=cache).x
    (shard,) = shards(cache.root)
    data = bytearray(shard.read_bytes())
    if damage == "flip":
        data[-10] ^= 1
    shard.write_bytes({"flip": bytes(data), "cut": bytes(data[:-10]), "empty": b""}[damage])
    assert [d.path for d in verify(cache.root)[1]] == [shard]
    with pytest.warns(UserWarning, match="damaged") as caught:
        found = encode_source(encoder, items, cache=cache)
    assert len([w for w in caught if "damaged" in str(w.message)]) == 1
    assert found.encoded == len(items)
    assert torch.equal(found.x, good)
    prune(cache.root)
    assert verify(cache.root)[1] == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_source(encoder, items, cache=cache)


def test_another_version_is_refused_and_left_alone(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    items = image_folder(folder).items
    encode_source(encoder, items, cache=cache)
    (manifest,) = cache.root.glob("*/space.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    with pytest.raises(BenchError, match="another version") as caught:
        encode_source(encoder, items, cache=cache)
    assert "\n" not in str(caught.value)
    assert not list_spaces(cache.root)[0].readable
    assert len(shards(cache.root)) == 1
    manifest.write_text("{")
    with pytest.raises(BenchError, match="another version"):
        encode_source(encoder, items, cache=cache)
    assert prune(cache.root)[0] == 1
    assert encode_source(encoder, items, cache=cache).encoded == len(items)


def test_list_and_prune(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    encode_source(encoder, image_folder(folder).items, cache=cache)
    encode_texts(encoder, ["a", "b"], cache=cache)
    entries = {entry.kind: entry for entry in list_spaces(cache.root)}
    assert {kind: entry.rows for kind, entry in entries.items()} == {"image": 10, "text": 2}
    assert entries["image"].encoder == encoder.name
    left = entries["text"].folder / ".half.999999999.tmp"
    left.write_bytes(b"half")
    two_days_ago = (entries["image"].folder / "space.json").stat().st_mtime - 2 * 86400
    os.utime(entries["image"].folder / "space.json", (two_days_ago, two_days_ago))
    assert prune(cache.root, idle_days=1) == (1, entries["image"].size_bytes)
    assert not left.exists()
    assert [entry.kind for entry in list_spaces(cache.root)] == ["text"]
    prune(cache.root, everything=True)
    assert list_spaces(cache.root) == []
    assert list_spaces(tmp_path / "nowhere") == []
    with pytest.raises(BenchError, match="negative"):
        prune(cache.root, idle_days=-1)


def test_a_shard_removed_under_a_reader_is_only_missing(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    items = image_folder(folder).items
    encode_source(encoder, items, cache=cache)
    space = image_space(cache, encoder)
    keys = [content_key(item.read()) for item in items]
    assert space.count() == 10
    assert space.read(keys)[0].all()
    prune(cache.root, everything=True)
    assert not space.read(keys)[0].any()


PROCESS = """
import sys
from pathlib import Path
from bench.cache import FeatureCache
from bench.encoders import load_encoder
from bench.data.images import encode
from bench.data.images import encode_source, image_folder
encode.BLOCK = 2
found = encode_source(
    load_encoder("glyphs"), image_folder(Path(sys.argv[1])).items, cache=FeatureCache(Path(sys.argv[2]))
)
print(len(found.x))
"""


def test_two_processes_at_once(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    command = [sys.executable, "-c", PROCESS, str(folder), str(root)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=500)[0].strip() for process in running] == ["10", "10"]
    count, damaged = verify(root)
    assert count >= 5
    assert not damaged
    assert not list(root.rglob("*.tmp"))
    items = image_folder(folder).items
    bundled = load_encoder("glyphs")
    found = encode_source(bundled, items, cache=FeatureCache(root))
    assert found.encoded == 0
    assert torch.allclose(found.x, encode_source(bundled, items, cache=None).x, atol=1e-5)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_root() == tmp_path / "xdg" / "retrieval-bench"


def test_the_bar_counts_every_image_once(
    encoder: Encoder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cat/bad.png").write_bytes(b"x")
    shutil.copy(folder / "cat/1.png", folder / "cat/same.png")
    items = image_folder(folder).items
    cache = FeatureCache(tmp_path / "cache")
    for _ in range(2):
        encode_source(encoder, items, cache=cache, batch=3, progress=True)
        assert f"{len(items)}/{len(items)}" in capsys.readouterr().err
    encode_source(encoder, items, cache=cache)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/dev/full", "it is no folder"),
        ("file", "it is no folder"),
        ("file/below", "Not a directory"),
        ("loop", "Too many levels"),
        ("pipe", "it is no folder"),
    ],
)
def test_a_cache_that_is_no_folder_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / place))
    with pytest.raises(BenchError, match=f"cannot be used: {words}.*set BENCH_CACHE to a folder"):
        cache_root()
    for command in (["list"], ["verify"], ["prune"]):
        done = CliRunner().invoke(main, ["data", "cache", *command])
        assert done.exit_code == 2
        assert len(done.output.strip().splitlines()) == 1
