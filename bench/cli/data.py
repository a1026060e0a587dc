"""The commands around data: ``bench data`` and ``bench audit``."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bench.utils.errors import BenchError, Notice

ENCODER_HELP = "NAME:PRETRAINED of open_clip, NAME:FILE for a local checkpoint, align:NAME, or glyphs."


def _splits(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("+") if part)


def _roles(command: Callable[..., None]) -> Callable[..., None]:
    for role in ("memory", "validation", "query", "support"):
        command = click.option(f"--{role}", default="", help=f"Splits that serve as {role}, joined by +.")(command)
    return click.option("--hold-out", type=float, help="Without splits: this share of each class becomes queries.")(
        command
    )


def encoding(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of everything that encodes."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(1),
            help="Threads that read images.  [default: 1; for a GPU more]",
        ),
        click.option(
            "--batch", type=click.IntRange(1), default=64, help="Images at a time; halved if they do not fit."
        ),
        click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", help="Where to encode."),
        click.option(
            "--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", help="Of the encoder."
        ),
    ):
        command = option(command)
    return command


def device_of(wanted: str) -> str:
    """Return the device that an option names."""
    from bench.device.choose import choose_device

    return choose_device(wanted)


@contextmanager
def _notices_alone() -> Iterator[None]:
    """Leave out the warnings of libraries, and the encoder's notes, which are said when all is encoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", Notice)
        yield


def _warn(messages: Sequence[str]) -> None:
    for message in dict.fromkeys(messages):
        click.echo(f"warning: {message}", err=True)


def say(made: Any) -> None:
    """Print what was made: its splits, what was set aside and what was noticed."""
    _warn(made.warnings)
    for item in made.set_aside[:5]:
        click.echo(f"set aside {item.id}: {item.reason}", err=True)
    if len(made.set_aside) > 5:
        click.echo(f"set aside {len(made.set_aside)} items in all; the pack's set_aside.json names them", err=True)
    splits = ", ".join(f"{name} {entry['rows']}" for name, entry in made.manifest["splits"].items())
    click.echo(f"{made.folder}: {len(made.manifest['classes'])} classes, d = {made.manifest['dimension']}, {splits}")


@click.group()
def data() -> None:
    """Make and look at data sets."""


@data.command(name="import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--classes", required=True, type=click.Path(path_type=Path), help="Class names: YAML, JSON or text.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The pack's folder.")
@click.option("--texts", multiple=True, type=click.Path(path_type=Path), help="Text vectors: x, name, source.")
@click.option("--name", help="The data set's name.  [default: the first file's]")
@click.option("--licence", default="unknown", help="Licence of the data.")
@click.option("--citation", default="", help="Who made it.")
@click.option("--description", default="", help="One line.")
@click.option("--encoder", default="unknown", help="Encoder that made the features, e.g. ViT-B-32:openai.")
@click.option("--space", default="", help="Name of the encoder's space; packs of one space can be mixed.")
@click.option("--prompt-source", help="Source of the class texts.  [default: the first that names the class]")
@_roles
def import_(files: Sequence[Path], classes: Path, out: Path, texts: Sequence[Path], **given: Any) -> None:
    """Make a feature pack of .npz, .npy or .safetensors FILES.

    Arrays are named SPLIT_x [n, d] and SPLIT_y [n], or x and y for a single split.
    """
    from bench.data.import_features import Options, import_pack

    for role in ("support", "query", "validation", "memory"):
        given[role] = _splits(given[role])
    given["name"] = given["name"] or files[0].stem
    made = import_pack(list(files), classes, out, Options(**given), texts=list(texts))
    _warn(made.warnings)
    splits = ", ".join(f"{name} {entry['rows']}" for name, entry in made.manifest["splits"].items())
    click.echo(f"{made.folder}: {len(made.manifest['classes'])} classes, d = {made.manifest['dimension']}, {splits}")


@data.command(name="inspect")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--no-overlap", is_flag=True, help="Do not compare splits with each other.")
def inspect_(name: str, as_json: bool, no_overlap: bool) -> None:
    """Describe a data set and check its hashes, shapes, norms, labels and overlaps.

    NAME is a data set's name or a pack's folder.
    """
    from bench.data.inspect import as_text, inspect_dataset
    from bench.data.registry import resolve

    found = inspect_dataset(resolve(name), overlaps=not no_overlap)
    click.echo(json.dumps(found, indent=2) if as_json else as_text(found))


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--encoder", required=True, help=ENCODER_HELP)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The pack's folder.")
@click.option("--name", help="The data set's name.  [default: the pack's folder]")
@click.option("--root", type=click.Path(path_type=Path), help="Folder that paths in a CSV or JSON start from.")
@click.option("--templates", default="auto", help="Prompts: auto, imagenet-80, imagenet-7, photo, name, or a file.")
@click.option("--near", type=click.FloatRange(0, 1, min_open=True), help="Cosine of near-duplicates.  [default: 0.97]")
@click.option("--no-projection", is_flag=True, help="Image features before the projection; there are no texts then.")
@click.option("--licence", default="unknown", help="Licence of the data.")
@click.option("--citation", default="", help="Who made it.")
@_roles
@encoding
def encode(path: Path, out: Path, root: Path | None, no_projection: bool, **given: Any) -> None:
    """Encode images into a feature pack.

    PATH is a folder SPLIT/CLASS/IMAGE or CLASS/IMAGE, a CSV or JSON of path and class, or webdataset shards.
    """
    from bench.cache import FeatureCache, cache_root
    from bench.data.images import open_source
    from bench.data.images.to_pack import EncodeOptions, encode_pack

    for role in ("support", "query", "validation", "memory"):
        given[role] = _splits(given[role])
    given |= {"name": given["name"] or out.name, "device": device_of(given["device"]), "projected": not no_projection}
    with _notices_alone():
        made = encode_pack(
            open_source(path, root=root), out, EncodeOptions(**given), cache=FeatureCache(cache_root()), progress=True
        )
    say(made)


@data.command()
@click.argument("name")
@click.option("--root", required=True, type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--encoder", help=f"Encode it too: {ENCODER_HELP}")
@click.option("--out", type=click.Path(path_type=Path), help="The pack's folder.  [default: packs/NAME]")
@encoding
def prepare(name: str, root: Path, encoder: str | None, out: Path | None, **given: Any) -> None:
    """Check that a standard data set is laid out as it should be, say what is missing, and encode it."""
    from bench.cache import FeatureCache, cache_root
    from bench.data.images.to_pack import EncodeOptions
    from bench.data.standard import encode_declared
    from bench.data.standard import prepare as check

    if encoder is None:
        found = check(name, root)
        _warn(found.warnings)
        click.echo(f"{name} is complete in {root}; encode it with --encoder, for instance ViT-B-32:openai")
        return
    options = EncodeOptions(encoder=encoder, name=name, **(given | {"device": device_of(given["device"])}))
    with _notices_alone():
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


@data.group()
def cache() -> None:
    """Look after encoded features (BENCH_CACHE, or the user's cache folder)."""


@cache.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="A list of objects, each with a name.")
def list_cache(as_json: bool) -> None:
    """List what is kept."""
    from bench.cache import cache_root, list_spaces

    entries = [{"name": entry.folder.name, **dataclasses.asdict(entry)} for entry in list_spaces(cache_root())]
    if as_json:
        click.echo(json.dumps(entries, indent=2, default=str))
        return
    for entry in entries:
        size, idle = entry["size_bytes"] / 2**20, entry["idle_days"]
        click.echo(
            f"{entry['name']}  {entry['encoder']} {entry['kind']} {entry['precision']}  {entry['rows']} rows, "
            f"{size:.1f} MiB, idle {idle:.1f} days{'' if entry['readable'] else ', of another version'}"
        )
    click.echo(f"{len(entries)} spaces in {cache_root()}")


@cache.command()
def verify() -> None:
    """Read everything back and compare it with its hashes."""
    from bench.cache import cache_root
    from bench.cache import verify as check

    count, damaged = check(cache_root())
    for damage in damaged:
        click.echo(f"{damage.path}: {damage.reason}", err=True)
    click.echo(f"{count} files, {len(damaged)} damaged")
    if damaged:
        raise BenchError("the cache holds damaged files; remove them with `bench data cache prune`")


@cache.command()
@click.option("--idle-days", type=float, help="Remove what has not been used for so many days.")
@click.option("--all", "everything", is_flag=True, help="Remove everything.")
def prune(idle_days: float | None, everything: bool) -> None:
    """Remove damaged and half-written files, and what --idle-days or --all say."""
    from bench.cache import cache_root
    from bench.cache import prune as remove

    files, size = remove(cache_root(), idle_days=idle_days, everything=everything)
    click.echo(f"removed {files} files, {size / 2**20:.1f} MiB")


@click.command()
@click.argument("name")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Cosine of a duplicate.  [default: the data set's, mostly 0.97]"
)
@click.option(
    "--show", type=click.IntRange(0), default=5, show_default=True, help="Pairs that are printed for each two parts."
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
def audit(name: str, threshold: float | None, show: int, as_json: bool) -> None:
    """Find duplicates between memory, support and queries of a data set.

    NAME is a data set's name or a pack's folder. Runs do the same check: their records count the queries that
    have a near-duplicate, and reports show the accuracy with and without them.
    """
    from bench.data.duplicates import audit_by_name

    found = audit_by_name(name, threshold=threshold)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else found.as_text(show=show))
