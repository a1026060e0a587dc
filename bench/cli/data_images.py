"""Commands on images: ``bench data encode`` and ``bench data prepare``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench.cache import FeatureCache, cache_root
from bench.cli import completion
from bench.cli.options import (
    ENCODER_HELP,
    PATH,
    Number,
    encoding,
    notices_alone,
    role_options,
    say,
    split_names,
    texts_option,
    warn,
)
from bench.data.declaration import Declaration
from bench.data.encode_on_the_fly import HELD_OUT
from bench.data.images import open_source
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.standard import declared, encode_declared
from bench.data.standard import prepare as check
from bench.data.standard.fetch import fetch
from bench.data.standard.hub_sets import PREFIX, HubName, declared_by_hub, hub_images, record
from bench.device.choose import choose_device


@click.command()
@click.argument("path", type=PATH)
@click.option("--encoder", required=True, help=ENCODER_HELP)
@click.option("--out", required=True, type=PATH, help="The pack's folder.")
@click.option("--name", help="The data set's name.  [default: the pack's folder]")
@click.option("--root", type=PATH, help="Folder that paths in a CSV or JSON start from.")
@click.option("--class-names", type=PATH, help="Names of class folders (lines FOLDER NAME) or of class numbers.")
@click.option("--nested", is_flag=True, help="Class folders lie in folders of groups: GROUP/CLASS/IMAGE.")
@click.option("--templates", default="auto", help="Prompts: auto, imagenet-80, imagenet-7, photo, name, or a file.")
@click.option("--near", type=Number(0, 1, min_open=True), help="Cosine of near-duplicates.  [default: 0.97]")
@click.option("--no-projection", is_flag=True, help="Image features before the projection; there are no texts then.")
@click.option("--licence", default="unknown", help="Licence of the data.")
@click.option("--citation", default="", help="Who made it.")
@role_options
@texts_option
@encoding
def encode(
    path: Path,
    out: Path,
    root: Path | None,
    class_names: Path | None,
    nested: bool,
    no_projection: bool,
    **given: Any,
) -> None:
    """Encode images into a feature pack.

    PATH is a folder SPLIT/CLASS/IMAGE or CLASS/IMAGE, a CSV or JSON of path and class (or CoOp's split), webdataset
    shards, Parquet files of datasets, or an .npz of MedMNIST.
    """
    for role in ("support", "query", "validation", "memory"):
        given[role] = split_names(given[role])
    given |= {
        "name": given["name"] or out.name,
        "device": choose_device(given["device"]),
        "projected": not no_projection,
    }
    with notices_alone():
        source = open_source(path, root=root, names_file=class_names, nested=nested)
        made = encode_pack(source, out, EncodeOptions(**given), cache=FeatureCache(cache_root()), progress=True)
    say(made)


@click.command()
@click.argument("name", shell_complete=completion.standard)
@click.option("--root", required=True, type=PATH, help="Where the data set lies.")
@click.option("--encoder", help=f"Encode it too: {ENCODER_HELP}")
@click.option("--out", type=PATH, help="The pack's folder.  [default: packs/NAME]")
@click.option("--download", is_flag=True, help="Fetch what is missing, where the licence allows it.")
@texts_option
@encoding
def prepare(name: str, root: Path, encoder: str | None, out: Path | None, download: bool, **given: Any) -> None:
    """Check that a standard data set is laid out as it should be, say what is missing, and encode it.

    NAME is one of `bench list datasets`, or hf:OWNER/NAME (hf:OWNER/NAME:CONFIGURATION) for the Parquet files of a
    data set of the Hugging Face hub.
    """
    if name.startswith(PREFIX):
        _prepare_hub(HubName.of(name), root, encoder, out, download, given)
        return
    if download:
        _fetch(declared(name), root)
    if encoder is None:
        found = check(name, root)
        warn(found.warnings)
        click.echo(f"{name} is complete in {root}; encode it with --encoder, for instance ViT-B-32:openai")
        return
    options = _options(encoder, name, given)
    with notices_alone():
        made = encode_declared(
            name,
            root,
            out or Path("packs") / name,
            encoder=encoder,
            cache=FeatureCache(cache_root()),
            options=options,
            progress=True,
        )
    say(made)


def _fetch(declaration: Declaration, root: Path) -> None:
    fetch(declaration, root, say=lambda said: click.echo(said, err=True), progress=sys.stderr.isatty())


def _options(encoder: str, name: str, given: Mapping[str, Any]) -> EncodeOptions:
    return EncodeOptions(encoder=encoder, name=name, **{**given, "device": choose_device(given["device"])})


def _prepare_hub(
    name: HubName, root: Path, encoder: str | None, out: Path | None, download: bool, given: Mapping[str, Any]
) -> None:
    if download:
        declaration = declared_by_hub(name)
        _fetch(declaration, root)
        record(declaration, root)
    found = hub_images(name, root)
    if encoder is None:
        classes = len(found.source.class_names)
        click.echo(
            f"{name} is complete in {root}: {len(found.source.items)} images of {classes} classes; encode it with "
            "--encoder, for instance ViT-B-32:openai"
        )
        return
    options = replace(_options(encoder, name.folder, given), revision=found.revision, licence=found.licence)
    if len(found.source.splits) == 1:
        options = replace(options, hold_out=HELD_OUT)
    with notices_alone():
        made = encode_pack(
            found.source, out or Path("packs") / name.folder, options, cache=FeatureCache(cache_root()), progress=True
        )
    say(made)
