"""Readers of what the field's tools and other people hand on: Parquet, MedMNIST, CoOp, trees, lists, pushed folders."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.data.images import open_source
from bench.data.images.decode import decode
from bench.data.images.items import ImageSource, Unusable
from bench.data.standard.prepare import prepare
from bench.sharing.listing import LIST
from bench.sharing.transfer import pull, push
from bench.utils.hashing import digest, file_digest
from tests.faults.reader import Reader
from tests.statistics.runs import make_run
from tests.unit.pictures import lay_out, noise


def _png(seed: int) -> bytes:
    sink = io.BytesIO()
    noise(seed, size=(6, 6)).save(sink, "PNG")
    return sink.getvalue()


def _parquet(folder: Path) -> None:
    images = [{"bytes": _png(n), "path": f"{n}.png"} for n in range(4)]
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["heron", "stork"]}}
    table = pa.table({"image": images, "label": [0, 1, 1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=2)


def _medmnist(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 7), dtype=np.uint8)
    labels = np.array([[0], [1], [1], [0]], dtype=np.uint8)
    np.savez(folder / "cells.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)


def _coop(folder: Path) -> None:
    lay_out(folder / "images", {f"{name}/{n}.png": n for name in ("heron", "stork") for n in (1, 2)})
    rows = {split: [[f"{name}/{n}.png", c, name] for c, name in enumerate(("heron", "stork"))]
            for n, split in ((1, "train"), (2, "test"))}  # fmt: skip
    (folder / "split.json").write_text(json.dumps(rows))


def _mvtec(folder: Path) -> None:
    places = ("train/good", "test/good", "test/broken")
    lay_out(folder / "bottle", {f"{place}/{n}.png": n for place in places for n in (1, 2)})


def _food(folder: Path) -> None:
    lay_out(folder / "caltech-101" / "101_ObjectCategories", {f"{name}/{n}.png": n for name in "ab" for n in (1, 2)})
    rows = [[f"{name}/{n}.png", c, name] for c, name in enumerate("ab") for n in (1, 2)]
    (folder / "caltech-101" / "split_zhou_Caltech101.json").write_text(
        json.dumps({"train": rows[::2], "val": [], "test": rows[1::2]})
    )


def _seen(source: ImageSource) -> str:
    seen = []
    for item in source.items:
        try:
            seen.append((item.id, item.class_name, item.split, digest(np.asarray(decode(item.read()).convert("RGB")))))
        except Unusable as reason:
            if "\n" in str(reason):
                raise ValueError(f"a reason of several lines: {reason!r}") from None
    return digest(seen)


def _pushed(folder: Path) -> None:
    push(make_run(folder / "run", {"good": 0.8}, seeds=(0,), sessions=1, queries=5), str(folder / "store"))


def _pulled(folder: Path) -> str:
    listing = pull(str(folder / "store"), folder / "out" / "run")
    return digest(listing.kind, sorted((name, file_digest(folder / "out" / "run" / name)) for name in listing.files))


SHARED: Mapping[str, Reader] = {
    "Parquet of images": Reader(_parquet, lambda f: _seen(open_source(f)), ("*.parquet",)),
    "MedMNIST": Reader(_medmnist, lambda f: _seen(open_source(f / "cells.npz")), ("cells.npz",)),
    "split of CoOp": Reader(_coop, lambda f: _seen(open_source(f / "split.json")), ("split.json",)),
    "tree of MVTec": Reader(_mvtec, lambda f: _seen(open_source(f / "bottle")), ("bottle/*/*/*",)),
    "data set as shipped": Reader(_food, lambda f: _seen(prepare("caltech101", f).source), ("caltech-101/*.json",)),
    "list of what was pushed": Reader(_pushed, _pulled, (f"store/{LIST}",)),
    "what was pushed": Reader(_pushed, _pulled, ("store/*.json", "store/*/*.parquet"), sealed=True),
}
"""By name."""
