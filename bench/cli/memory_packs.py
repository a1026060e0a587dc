"""Commands on memories: ``bench memory build``, ``merge`` and ``subset``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cache import FeatureCache, cache_root
from bench.cli.options import ENCODER_HELP, PATH, Whole, encoding, notices_alone, say, warn
from bench.data.class_names import read_classes
from bench.data.web import merge as join
from bench.data.web import subset as cut
from bench.data.web.build_memory import MemoryOptions, build_memory
from bench.data.web.sources import collect_images, collect_sentences, read_hints
from bench.data.web.split_sentences import Splitter
from bench.device.choose import choose_device


@click.command()
@click.option("--classes", required=True, type=PATH, help="Class names, one a line.")
@click.option("--images", help="A folder CLASS/IMAGE, icrawler:google|bing|flickr, or webvision:FOLDER.")
@click.option("--texts", help="A folder of CLASS.txt files, or wikipedia.")
@click.option("--contact", help="For wikipedia: an address by which its operators can reach you.")
@click.option("--hints", type=PATH, help="For wikipedia: YAML or JSON such as crane: bird.")
@click.option(
    "--splitter", type=click.Choice(["rules", "pysbd"]), default="rules", show_default=True, help="Cuts sentences."
)
@click.option("--encoder", required=True, help=ENCODER_HELP)
@click.option("--out", required=True, type=PATH, help="The pack's folder.")
@click.option("--per-class", type=Whole(1), default=32, show_default=True, help="Images to ask for.")
@click.option(
    "--allow-private",
    multiple=True,
    metavar="HOST",
    help="Ask this host although it is no public one; may be repeated.",
)
@encoding
def build(
    classes: Path,
    images: str | None,
    texts: str | None,
    contact: str | None,
    hints: Path | None,
    splitter: Splitter,
    encoder: str,
    out: Path,
    per_class: int,
    allow_private: Sequence[str],
    **given: Any,
) -> None:
    """Build a pack of images and sentences found by class names; a stopped build goes on where it stopped."""
    notes: list[str] = []
    names = read_classes(classes, out.name, notes)
    warn(notes)
    kept = out.parent / f"{out.name}.found"
    known = read_hints(hints, names) if hints else None
    source, provenance = collect_images(
        images, names, kept / "images", per_class=per_class, allow_private=allow_private
    )
    sentences, aside = collect_sentences(texts, names, kept / "texts", contact=contact, hints=known, splitter=splitter)
    options = MemoryOptions(encoder=encoder, name=out.name, **(given | {"device": choose_device(given["device"])}))
    with notices_alone():
        made = build_memory(
            names,
            out,
            options,
            images=source,
            sentences=sentences,
            cache=FeatureCache(cache_root()),
            set_aside=aside,
            provenance=provenance,
            progress=True,
        )
    say(made)


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH)
@click.option("--out", required=True, type=PATH, help="The new pack's folder.")
def merge(folders: Sequence[Path], out: Path) -> None:
    """Join memories of one encoder's space."""
    click.echo(join(list(folders), out, name=out.name))


@click.command()
@click.argument("folder", type=PATH)
@click.option("--out", required=True, type=PATH, help="The new pack's folder.")
@click.option("--classes", type=PATH, help="Keep these classes: names, one a line.")
@click.option("--per-class", type=Whole(1), help="Keep the first so many items of each class.")
@click.option("--source", "sources", multiple=True, help="Keep the items of this source; may be repeated.")
def subset(folder: Path, out: Path, classes: Path | None, per_class: int | None, sources: Sequence[str]) -> None:
    """Keep a part of a memory."""
    names = read_classes(classes, folder.name) if classes else None
    click.echo(cut(folder, out, classes=names, per_class=per_class, sources=list(sources) or None))
