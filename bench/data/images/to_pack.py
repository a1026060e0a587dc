"""Encodes images into a feature pack: what ``bench data encode`` does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.cache.store import FeatureCache
from bench.core.dataset import Card
from bench.core.features import Features
from bench.data.class_names import check_class_names
from bench.data.images.encode import EncodedImages, encode_source, encode_texts
from bench.data.images.items import Caption, ImageSource, SetAside
from bench.data.manifest import FORMAT
from bench.data.pack import encode_strings, write_arrays, write_manifest, write_texts
from bench.data.splits import choose_roles, held_out
from bench.device.precision import Precision
from bench.encoders import class_texts, load_encoder, read_templates
from bench.encoders.encoder import Encoder
from bench.encoders.glyphs.load import NAME as BUNDLED
from bench.encoders.glyphs.load import NEAR
from bench.encoders.load import TextsOf, without_suffixes
from bench.encoders.prompts import Template, of_strings
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.names import expand, file_name

SET_ASIDE_FILE = "set_aside.json"


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """The options of encoding; see ``bench data encode --help``.

    Attributes
    ----------
    encoder : str
        ``NAME:PRETRAINED`` or another form of :func:`bench.encoders.load_encoder`.
    name : str
        The data set's name.
    templates : str
        A name or file of :func:`bench.encoders.read_templates`; ``auto`` takes CLIP's 80, or the bundled encoder's
        own four.
    display : mapping of str to str
        The name in prompts and tables of a class that is called otherwise in the source.
    hold_out : float or None
        Cut a source without splits: this share of each class, at least one image, becomes queries.
    support, query, validation, memory : tuple of str
        Splits that serve in a role; left out, the usual names decide.
    class_split : mapping of str to sequence of str
        Names of the classes that are ``seen``, ``validation`` and ``unseen``, where the field fixed them.
    captions : tuple of Caption
        Texts about the source's classes, for the text memory; left out where the encoder has no texts.
    images : str
        Where the images lie, for the pack to say; empty says nothing.
    texts : {"own", "synthesised"}
        As :func:`bench.encoders.load_encoder` takes it.
    near : float or None
        Cosine from which two images count as near-duplicates; None takes 0.97, or the bundled encoder's own.
    """

    encoder: str
    name: str
    templates: str = "auto"
    display: Mapping[str, str] = field(default_factory=dict)
    template_strings: tuple[str, ...] = ()
    precision: Precision = "fp32"
    device: str = "cpu"
    projected: bool = True
    quick_gelu: bool | None = None
    texts: TextsOf = "own"
    batch: int = 64
    workers: int | None = None
    hold_out: float | None = None
    support: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    class_split: Mapping[str, Sequence[str]] = field(default_factory=dict)
    revision: str = ""
    licence: str = "unknown"
    citation: str = ""
    description: str = ""
    images: str = ""
    captions: tuple[Caption, ...] = ()
    near: float | None = None


@dataclass(eq=False)
class Encoded:
    """The result of encoding, with warnings."""

    folder: Path
    manifest: dict[str, Any]
    set_aside: list[SetAside]
    computed: int
    warnings: list[str] = field(default_factory=list)


def encode_pack(
    source: ImageSource, out: Path, options: EncodeOptions, *, cache: FeatureCache | None, progress: bool = False
) -> Encoded:
    """Encode the images of a source and write them as a feature pack.

    The pack holds, for each split, features, labels, ids, the SHA-256 of each file and its perceptual hash; the class
    texts; and ``set_aside.json``, the images that could not be used with the reasons. It is written when all is
    encoded; a stopped run goes on from the cache.

    Raises
    ------
    BenchError
        For an encoder that cannot be loaded, roles that do not fit the splits, and a split without a usable image.
    """
    out = expand(out)
    file_name(options.name, "data set")
    unserved: list[str] = []
    splits = {split: source.of_split(split) for split in source.splits}
    if options.hold_out is not None:
        items = next(iter(splits.values()))
        test = held_out(np.array([item.class_name for item in items]), options.hold_out, len(splits))
        splits = {
            split: [
                replace(item, split=split) for item, out in zip(items, test, strict=True) if out == (split == "test")
            ]
            for split in ("train", "test")
        }
    roles = choose_roles(
        splits, {role: getattr(options, role) for role in ("support", "query", "validation", "memory")}, unserved
    )
    shown = [options.display.get(name, name) for name in source.class_names]
    check_class_names(shown, source.origin)
    if out.exists() and not out.is_dir():
        raise BenchError(f"{out} is a file and no folder; choose another --out")
    encoder = load_encoder(
        options.encoder,
        precision=options.precision,
        device=options.device,
        projected=options.projected,
        quick_gelu=options.quick_gelu,
        texts=options.texts,
    )
    if source.templates and not options.template_strings and options.templates == "auto":
        options = replace(options, template_strings=source.templates)
    # Before hours of encoding: templates can be refused at once.
    templates = _templates(encoder, options) if encoder.has_texts else ()
    label_of = {name: label for label, name in enumerate(source.class_names)}
    encoded = {
        split: encode_source(
            encoder, items, cache=cache, batch=options.batch, workers=options.workers, progress=progress
        )
        for split, items in splits.items()
    }
    for split, part in encoded.items():
        if not part.items:
            first = part.set_aside[0]
            raise BenchError(
                f"{source.origin}: no image of split {split!r} can be used, e.g. {first.id}: {first.reason}"
            )
        labels = torch.tensor([label_of[item.class_name] for item in part.items])
        ids = torch.arange(len(part.items)).numpy().astype("U")
        Features(part.x, labels, ids, tuple(shown)).check(f"split {split}")
    aside = [*source.set_aside, *(s for part in encoded.values() for s in part.set_aside)]
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": options.name,
        "revision": options.revision or digest([(split, part.content) for split, part in encoded.items()], shown)[:12],
        "licence": options.licence,
        "citation": options.citation,
        "description": options.description,
        "encoder": describe_encoder(encoder),
        "dimension": int(next(iter(encoded.values())).x.shape[1]),
        "classes": shown,
        "splits": {split: _write_split(out, split, part, label_of) for split, part in encoded.items()},
        "roles": roles,
        "near": options.near or near_of(options.encoder),
        "set_aside": len(aside),
    }
    if options.images:
        manifest["images"] = options.images
    if options.class_split:
        manifest["class_split"] = {
            part: sorted(label_of[name] for name in names) for part, names in options.class_split.items()
        }
    warnings = [*source.notes, *unserved, *encoder.notes]
    pictured = {item.class_name for part in encoded.values() for item in part.items}
    bare = [name for name in source.class_names if name not in pictured]
    if bare:
        warnings.append(
            f"{len(bare)} of {len(source.class_names)} classes have no image that can be used, e.g. {bare[0]}"
        )
    if aside:
        warnings.append(f"{len(aside)} files set aside, e.g. {aside[0].id}: {aside[0].reason}; see {SET_ASIDE_FILE}")
    if encoder.has_texts:
        manifest["prompts"] = write_prompts(out, encoder, shown, templates, cache, manifest, warnings)
        if options.captions:
            manifest["texts"] = _write_captions(out, encoder, options.captions, label_of, cache)
    else:
        warnings.append(f"{encoder.without_texts}; the pack holds no class texts")
    if options.memory:
        manifest["memory"] = {"seed": 0, "images": [{"split": split} for split in options.memory]}
    write_atomically(
        out / SET_ASIDE_FILE, json.dumps([{"id": s.id, "reason": s.reason} for s in aside], indent=1) + "\n"
    )
    write_manifest(out, manifest)
    return Encoded(out, manifest, aside, sum(part.encoded for part in encoded.values()), warnings)


def describe_encoder(encoder: Encoder) -> dict[str, Any]:
    """Return what a manifest says of an encoder."""
    return {
        "name": encoder.name,
        "space": f"{encoder.name}@{digest(encoder.space)[:12]}",
        "weights": encoder.weights_digest,
        "precision": encoder.precision,
        "projected": encoder.projected,
        "texts": encoder.texts if encoder.has_texts else "none",
        "licence": encoder.licence,
        "flops": encoder.flops,
        "runtime": "torch" if encoder.images is None else "onnx",
    }


def _write_split(out: Path, split: str, part: EncodedImages, label_of: Mapping[str, int]) -> dict[str, Any]:
    return write_arrays(
        out,
        split,
        {
            "x": part.x,
            "labels": torch.tensor([label_of[item.class_name] for item in part.items], dtype=torch.int32),
            "ids": encode_strings([item.id for item in part.items]),
            "content": torch.frombuffer(bytearray.fromhex("".join(part.content)), dtype=torch.uint8).view(-1, 32),
            "perceptual": part.perceptual,
        },
    )


def write_prompts(
    out: Path,
    encoder: Encoder,
    shown: Sequence[str],
    templates: Sequence[Template],
    cache: FeatureCache | None,
    manifest: dict[str, Any],
    warnings: list[str],
) -> dict[str, Any]:
    """Write the class texts and return their entry; the manifest's encoder is told of the templates."""
    names = [name.replace("_", " ") for name in shown]
    made = class_texts(lambda texts: encode_texts(encoder, texts, cache=cache), names, templates)
    manifest["encoder"] |= {"templates": [template("{}") for template in templates], "truncated": made.truncated}
    if made.truncated:
        warnings.append(f"{made.truncated} of {made.prompts} prompts are longer than the context and were cut")
    return write_texts(
        out,
        "prompts",
        made.x,
        torch.arange(len(names)),
        [f"prompt/{n}" for n in range(len(names))],
        ["prompt"] * len(names),
    )


def _write_captions(
    out: Path,
    encoder: Encoder,
    captions: Sequence[Caption],
    label_of: Mapping[str, int],
    cache: FeatureCache | None,
) -> dict[str, Any]:
    x, _ = encode_texts(encoder, [one.text for one in captions], cache=cache)
    labels = torch.tensor([label_of[one.class_name] for one in captions])
    return write_texts(out, "texts", x, labels, [one.id for one in captions], ["sentence"] * len(captions))


def _templates(encoder: Encoder, options: EncodeOptions) -> tuple[Template, ...]:
    if options.template_strings and encoder.texts == "joint":
        return of_strings(options.template_strings, options.name)
    return auto_templates(encoder, options.templates)


def near_of(encoder: str) -> float:
    """Return the cosine from which two images count as near-duplicates in an encoder's space, unless one says."""
    return NEAR if without_suffixes(encoder) == BUNDLED else Card.near


def auto_templates(encoder: Encoder, wanted: str = "auto") -> tuple[Template, ...]:
    """Return the templates of a name or file; ``auto`` takes those that suit the encoder: for most, CLIP's 80."""
    if wanted != "auto":
        return read_templates(wanted)
    if without_suffixes(encoder.name) == BUNDLED:
        from bench.encoders.glyphs.prompts import PROMPTS

        return of_strings(PROMPTS, "the bundled prompts")
    return read_templates(encoder.templates)
