"""Data sets encoded within a run (``bench run --encoder``); features go through the cache into a pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cache import PACKS, FeatureCache, cache_root
from bench.data.images import open_source
from bench.data.images.to_pack import Encoded, EncodeOptions, encode_pack
from bench.data.names import GLYPHS_WITH
from bench.data.pack_files import MANIFEST
from bench.data.standard import declarations, encode_declared
from bench.encoders.glyphs.load import NAME as BUNDLED
from bench.encoders.load import TextsOf, encoder_slug, load_encoder, named_with_texts
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.names import expand

HELD_OUT = 0.2
"""The share of each class that becomes queries, where the images have no splits of their own."""


def encode_all(
    wanted: Sequence[str],
    encoders: Sequence[str],
    *,
    device: str,
    progress: bool,
    said: Callable[[Encoded], Any],
    texts: TextsOf = "own",
    templates: str = "auto",
) -> list[str]:
    """Return names or folders that :func:`bench.data.registry.resolve` takes, for images in the spaces of encoders.

    With several encoders each data set is there once for each, called ``NAME@ENCODER``; its items have the same ids in
    all of them, so that they meet the same shots.

    Parameters
    ----------
    wanted : sequence of str
        ``glyphs``, ``NAME:FOLDER`` for a standard data set that lies in a folder, or whatever
        :func:`bench.data.images.open_source` takes: a folder of class folders, a CSV or JSON table, tar shards.
    texts : {"own", "synthesised"}
        As :func:`bench.encoders.load_encoder` takes it.
    templates : str
        As :class:`bench.data.images.to_pack.EncodeOptions` takes it.
    said : callable
        Told of each pack that was made.

    Raises
    ------
    BenchError
        For a name that stands for features, which no encoder can change, and as encoding does.
    """
    made = encoders if texts == "own" else [named_with_texts(encoder) for encoder in encoders]
    if len(set(made)) < len(made):
        raise BenchError(f"--encoder {made[0]} is named twice; name each once")
    options = EncodeOptions(encoder="", name="", device=device, templates=templates)
    several = len(made) > 1
    # One that cannot be loaded is told before the first has encoded everything.
    for encoder in made[1:]:
        load_encoder(encoder, device=device)
    return [
        _encode(name, replace(options, encoder=encoder), several=several, progress=progress, said=said)
        for name in wanted
        for encoder in made
    ]


def _encode(
    wanted: str, options: EncodeOptions, *, several: bool, progress: bool, said: Callable[[Encoded], Any]
) -> str:
    encoder = options.encoder
    if wanted == BUNDLED:
        if options.templates != "auto":
            raise BenchError("the bundled data set has prompts of its own; leave --templates out")
        return wanted if encoder == BUNDLED else GLYPHS_WITH + encoder
    path = expand(Path(wanted))
    if (path / MANIFEST).is_file():
        raise BenchError(f"{wanted} is a feature pack, whose encoder has done its work; leave --encoder out")
    name, _, root = wanted.partition(":")
    if not path.exists() and not (root and name in declarations()):
        raise BenchError(
            f"{wanted} is no folder of images; with --encoder give a folder, a table, shards, glyphs, or NAME:FOLDER "
            "for a standard data set"
        )
    origin, declared = (path, None) if path.exists() else (expand(Path(root)), name)
    name = declared or path.resolve().stem
    cache = FeatureCache(cache_root())
    # A pack of an earlier state of the folder is written over. Its features are not lost: each image of the cache is
    # known by its bytes.
    called = f"{name}@{encoder_slug(encoder)}" if several else name
    asked = [] if options.templates == "auto" else [options.templates]
    out = cache.root / PACKS / f"{called}-{digest(str(origin.resolve()), encoder, *asked)[:12]}"
    where = str(origin.resolve())
    options = replace(options, name=called, images=f"{declared}:{where}" if declared else where)
    if declared:
        made = encode_declared(declared, origin, out, encoder=encoder, cache=cache, options=options, progress=progress)
    else:
        source = open_source(path)
        if len(source.splits) == 1:
            options = replace(options, hold_out=HELD_OUT)
        made = encode_pack(source, out, options, cache=cache, progress=progress)
    said(made)
    return str(out)
