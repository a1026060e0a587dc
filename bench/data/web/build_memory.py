"""A memory by class names as a feature pack that other packs can name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bench.cache.store import FeatureCache
from bench.data.class_names import check_class_names
from bench.data.images.encode import EncodedImages, encode_source, encode_texts
from bench.data.images.items import ImageSource, SetAside
from bench.data.manifest import FORMAT
from bench.data.pack import encode_strings, write_arrays, write_manifest, write_texts
from bench.data.provenance import PROVENANCE_FILE
from bench.data.web.sentences import Sentence
from bench.device.precision import Precision
from bench.encoders import class_texts, load_encoder, read_templates
from bench.encoders.load import without_suffixes
from bench.encoders.prompts import of_strings
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.names import expand, file_name


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """The options of building a memory; see ``bench memory build --help``."""

    encoder: str
    name: str
    precision: Precision = "fp32"
    device: str = "cpu"
    batch: int = 64
    workers: int | None = None
    licence: str = "unknown"


@dataclass(eq=False)
class Built:
    """A built memory, and what was set aside."""

    folder: Path
    manifest: dict[str, Any]
    set_aside: list[SetAside]
    warnings: list[str]


def build_memory(
    class_names: Sequence[str],
    out: Path,
    options: MemoryOptions,
    *,
    images: ImageSource | None,
    sentences: Sequence[Sentence],
    cache: FeatureCache | None,
    set_aside: Sequence[SetAside] = (),
    provenance: Sequence[dict[str, Any]] = (),
    progress: bool = False,
) -> Built:
    """Encode images and sentences found by class names, and write them as a pack with the one split ``web``.

    Another pack takes these images as its memory by naming this pack and the split. ``provenance.json`` keeps for every
    item where it comes from.

    Parameters
    ----------
    images : ImageSource or None
        Its classes must be among ``class_names``; unusable images are set aside with the reason.
    provenance : sequence of dict
        What is known of each image file, see :func:`bench.data.web.crawl_images`; joined by SHA-256. An entry with a
        ``reason`` is of an address that brought no usable image, and is set aside.
    """
    out = expand(out)
    file_name(options.name, "memory")
    check_class_names(class_names, "the class list")
    if images is None and not sentences:
        raise BenchError("a memory needs images, texts or both; give --images or --texts")
    label_of = {name: label for label, name in enumerate(class_names)}
    for name in images.class_names if images else ():
        if name not in label_of:
            raise BenchError(
                f"{images.origin if images else ''}: folder {name!r} is none of the classes; add it to them"
            )
    encoder = load_encoder(options.encoder, precision=options.precision, device=options.device)
    if sentences and not encoder.has_texts:
        raise BenchError(f"{encoder.without_texts}, so a memory of its space holds no texts; leave --texts out")
    bare_names = without_suffixes(options.encoder) == "glyphs"
    templates = of_strings(("{}",), "the bare name") if bare_names else read_templates(encoder.templates)

    def texts(wanted: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        return encode_texts(encoder, wanted, cache=cache)

    said = [name.replace("_", " ") for name in class_names]
    prompts = class_texts(texts, said, templates) if encoder.has_texts else None
    found: EncodedImages | None = None
    if images is not None:
        found = encode_source(
            encoder, images.items, cache=cache, batch=options.batch, workers=options.workers, progress=progress
        )
    refused = [SetAside(str(entry["url"]), str(entry["reason"])) for entry in provenance if "reason" in entry]
    aside = [*set_aside, *refused, *(images.set_aside if images else ()), *(found.set_aside if found else ())]
    d = encoder.dimension
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": options.name,
        "revision": digest(found.content if found else [], [s.sha256 for s in sentences], list(class_names))[:12],
        "licence": options.licence,
        "description": "a memory found by class names",
        "encoder": {"name": encoder.name, "space": f"{encoder.name}@{digest(encoder.space)[:12]}"},
        "dimension": d,
        "classes": list(class_names),
        "splits": {"web": _write_images(out, found, label_of, d)},
        "roles": {"support": [], "query": [], "validation": []},
        "set_aside": len(aside),
        "memory": {"seed": 0, "images": [{"split": "web"}]},
    }
    n = len(class_names)
    warnings = [*encoder.notes, *(images.notes if images else ())]
    if prompts is not None:
        manifest["prompts"] = write_texts(
            out, "prompts", prompts.x, torch.arange(n), [f"prompt/{c}" for c in range(n)], ["prompt"] * n
        )
    else:
        warnings.append(f"{encoder.without_texts}; the memory holds no class texts")
    if sentences:
        x, truncated = texts([s.text for s in sentences])
        labels = torch.tensor([label_of[s.keyword] for s in sentences])
        manifest["texts"] = write_texts(
            out, "texts", x, labels, [s.id for s in sentences], [s.source for s in sentences]
        )
        manifest["encoder"]["truncated"] = int(truncated.sum())
        if truncated.any():
            warnings.append(
                f"{int(truncated.sum())} of {len(sentences)} sentences were longer than the context and cut"
            )
    pictured = {item.class_name for item in found.items} if found else set(class_names)
    bare = [name for name in class_names if name not in pictured]
    if bare:
        warnings.append(f"{len(bare)} of {n} classes have no image, e.g. {bare[0]}")
    if aside:
        warnings.append(f"{len(aside)} classes or files set aside, e.g. {aside[0].id}: {aside[0].reason}")
    known = {str(entry["sha256"]): entry for entry in provenance if "sha256" in entry}
    record = {
        "images": [
            {"id": item.id, "sha256": key, "keyword": item.class_name, **known.get(key, {})}
            for item, key in zip(found.items, found.content, strict=True)
        ]
        if found
        else [],
        "texts": [asdict(s) for s in sentences],
        "set_aside": [asdict(s) for s in aside],
    }
    write_atomically(out / PROVENANCE_FILE, json.dumps(record, indent=1, ensure_ascii=False))
    write_manifest(out, manifest)
    return Built(out, manifest, aside, warnings)


def _write_images(out: Path, found: EncodedImages | None, label_of: dict[str, int], d: int) -> dict[str, Any]:
    if found is None or not found.items:
        empty = {"x": torch.zeros(0, d), "labels": torch.zeros(0, dtype=torch.int32)}
        return write_arrays(out, "web", empty)
    return write_arrays(
        out,
        "web",
        {
            "x": found.x,
            "labels": torch.tensor([label_of[item.class_name] for item in found.items], dtype=torch.int32),
            "ids": encode_strings([item.id for item in found.items]),
            "content": torch.frombuffer(bytearray.fromhex("".join(found.content)), dtype=torch.uint8).view(-1, 32),
            "perceptual": found.perceptual,
        },
    )
