"""Readers of arrays, packs, class lists and images: a good input of each, and what reading it gives."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from bench.data.class_names import read_classes
from bench.data.images import open_source
from bench.data.images.decode import decode
from bench.data.images.items import Unusable, read_file
from bench.data.import_features import Options, import_pack
from bench.data.manifest import read_manifest
from bench.data.pack import open_pack
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.data.web.edit_memory import subset
from bench.utils.hashing import digest
from tests.faults.reader import Reader
from tests.unit.pictures import noise

_RNG = np.random.default_rng(0)
_X, _Y = _RNG.standard_normal((12, 4)).astype(np.float32), np.repeat([0, 1, 2], 4)
_NAMES = "heron\nstork\ncrane\n"


def _names(folder: Path) -> None:
    (folder / "classes.txt").write_text(_NAMES)


def _npz(folder: Path) -> None:
    _names(folder)
    np.savez(folder / "birds.npz", train_x=_X, train_y=_Y, test_x=_X, test_y=_Y)


def _squeezed(folder: Path) -> None:
    _names(folder)
    np.savez_compressed(folder / "birds.npz", train_x=_X, train_y=_Y, test_x=_X, test_y=_Y)


def _npy(folder: Path) -> None:
    _names(folder)
    for name, array in (("train_x", _X), ("train_y", _Y), ("test_x", _X), ("test_y", _Y)):
        np.save(folder / f"{name}.npy", array)


def _safetensors(folder: Path) -> None:
    _names(folder)
    x, y = torch.from_numpy(_X), torch.from_numpy(_Y)
    save_file({"train_x": x, "train_y": y, "test_x": x.clone(), "test_y": y.clone()}, folder / "birds.safetensors")


def _imported(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.suffix in (".npz", ".npy", ".safetensors"))
    made = import_pack(files, folder / "classes.txt", folder / "out" / "birds", Options(name="birds"))
    return digest(open_pack(made.folder, resolve).fingerprint)


def _pack(folder: Path) -> None:
    _npz(folder)
    import_pack([folder / "birds.npz"], folder / "classes.txt", folder / "pack", Options(name="birds"))


def _opened(folder: Path) -> str:
    dataset = resolve(folder / "pack")
    dataset.check()
    return str(dataset.fingerprint)


def _rehashed(folder: Path) -> str:
    """Open a pack whose manifest names the hashes that its files have."""
    path = folder / "pack" / MANIFEST
    text = path.read_text()
    for entry in read_manifest(folder / "pack")["splits"].values():
        file = folder / "pack" / entry["file"]
        if file.is_file():
            text = text.replace(entry["sha256"], hashlib.sha256(file.read_bytes()).hexdigest())
    path.write_text(text)
    return _opened(folder)


def _memory(folder: Path) -> None:
    _pack(folder)
    manifest = (folder / "pack" / MANIFEST).read_text()
    (folder / "pack" / MANIFEST).write_text(manifest.replace("  test:", "  web:").replace("- test", "- web"))
    entry = {"id": "web/0", "sha256": "0" * 64, "keyword": "heron", "source": "google"}
    (folder / "pack" / "provenance.json").write_text(json.dumps({"images": [entry], "texts": [], "set_aside": []}))


def _cut(folder: Path) -> str:
    return str(subset(folder / "pack", folder / "out" / "part", per_class=1).relative_to(folder))


def _class_list(name: str, text: str) -> Reader:
    def make(folder: Path) -> None:
        (folder / name).write_text(text)

    return Reader(make, lambda folder: "|".join(read_classes(folder / name, "birds", [])), (name,))


def _picture(seed: int, kind: str = "PNG", **more: Any) -> bytes:
    sink = io.BytesIO()
    noise(seed, size=(6, 6)).save(sink, kind, **more)
    return sink.getvalue()


def _pictures(folder: Path) -> None:
    for number, kind in enumerate(("png", "jpeg", "gif", "bmp", "tiff", "webp")):
        place = folder / "images" / ("train" if number % 2 else "test") / "heron"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.{kind}").write_bytes(_picture(number, kind.upper()))


def _table(ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _pictures(folder)
        rows = [(path.relative_to(folder).as_posix(), "heron", "train") for path in sorted(folder.rglob("*.*"))]
        if ending == "json":
            keys = ("path", "class", "split")
            text = json.dumps([dict(zip(keys, row, strict=True)) for row in rows])
        else:
            text = "path,class,split\n" + "".join(",".join(row) + "\n" for row in rows)
        (folder / f"table.{ending}").write_text(text)

    return make


def _shard(folder: Path) -> None:
    with tarfile.open(folder / "train-000.tar", "w") as tar:
        for number in range(4):
            for ending, content in (("png", _picture(number)), ("cls", b"heron")):
                about = tarfile.TarInfo(f"{number:04d}.{ending}")
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))


def _source(folder: Path) -> str:
    tables = [path for path in folder.iterdir() if path.name.startswith("table.")]
    shards = [path for path in folder.iterdir() if path.suffix == ".tar"]
    source = open_source((tables or shards or [folder / "images"])[0])
    seen = []
    for item in source.items:
        try:
            seen.append((item.id, item.class_name, digest(np.asarray(decode(item.read()).convert("RGB")))))
        except Unusable as reason:
            _on_one_line(reason)
    return digest(seen)


def _on_one_line(reason: Unusable) -> str:
    if "\n" in str(reason):
        raise ValueError(f"a reason of several lines: {reason!r}")
    return "set aside"


def _one_picture(kind: str, **more: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / "picture").write_bytes(_picture(1, kind, **more)) and None


def _decoded(folder: Path) -> str:
    try:
        return digest(np.asarray(decode(read_file(folder / "picture")).convert("RGB")))
    except Unusable as reason:
        return _on_one_line(reason)


DATA: Mapping[str, Reader] = {
    "npz": Reader(_npz, _imported, ("birds.npz",)),
    "npz, compressed": Reader(_squeezed, _imported, ("birds.npz",)),
    "npy": Reader(_npy, _imported, ("*.npy",)),
    "safetensors": Reader(_safetensors, _imported, ("birds.safetensors",)),
    "manifest": Reader(_pack, _opened, (f"pack/{MANIFEST}",)),
    "pack arrays": Reader(_pack, _opened, ("pack/*.safetensors",), sealed=True),
    "pack arrays with their hash": Reader(_pack, _rehashed, ("pack/*.safetensors",)),
    "provenance": Reader(_memory, _cut, ("pack/provenance.json",)),
    "class list": _class_list("names.txt", _NAMES),
    "class list in YAML": _class_list("names.yaml", "- heron\n- 'no'\n- 007\n"),
    "class list in JSON": _class_list("names.json", '{"0": "heron", "1": "stork"}'),
    "table": Reader(_table("csv"), _source, ("table.csv",)),
    "table in JSON": Reader(_table("json"), _source, ("table.json",)),
    "folder": Reader(_pictures, _source, ("images/*/*/*",)),
    "shard": Reader(_shard, _source, ("*.tar",)),
    **{f"picture in {kind}": Reader(_one_picture(kind), _decoded, ("picture",)) for kind in ("PNG", "JPEG", "GIF")},
    **{f"picture in {kind}": Reader(_one_picture(kind), _decoded, ("picture",)) for kind in ("TIFF", "WEBP", "BMP")},
}
"""By name."""
