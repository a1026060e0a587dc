"""Commands on the history of a pack: ``bench memory log``, ``diff``, ``checkout``, ``revert`` and the edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from bench.classifier.inputs import ARRAYS, read_features
from bench.cli.edit import class_of_images
from bench.cli.options import ENCODER_HELP, PATH, Whole, notices_alone, terminal_width
from bench.data.images.encode import encode_source
from bench.data.images.items import ImageItem
from bench.data.versions import edits
from bench.data.versions.history import History
from bench.data.versions.log import Entry
from bench.device.choose import choose_device
from bench.encoders import load_encoder
from bench.reports.tables.console import table_lines
from bench.utils.errors import BenchError

_PACK = click.argument("pack", type=PATH)
_REASON = click.option("--reason", default="", help="Why; kept in the log.")


@click.command()
@_PACK
def log(pack: Path) -> None:
    """Print what was changed in a PACK, oldest first; * marks the version that lies in its folder."""
    history = History(pack)
    if not history.log:
        click.echo(f"{pack}: version {history.head}; nothing was changed by `bench memory`")
        return
    rows = [
        [
            "*" if entry.version == history.head else "",
            *(entry.version, entry.time, entry.action, str(entry.items)),
            *(entry.source, entry.licence, entry.reason, entry.what),
        ]
        for entry in history.log
    ]
    if all(entry.version != history.head for entry in history.log):
        rows.append(["*", history.head, "", "outside", "", "", "", "", "changed by no command of this log"])
    heads = ["", "version", "time", "action", "items", "source", "licence", "reason", "what"]
    for line in table_lines(heads, rows, left=(0, 1, 2, 3, 5, 6, 7, 8), width=terminal_width()):
        click.echo(line)


@click.command()
@_PACK
@click.argument("before")
@click.argument("after", required=False)
@click.option("--show", default=20, show_default=True, type=Whole(0), help="Items that are printed.")
def diff(pack: Path, before: str, after: str | None, show: int) -> None:
    """Print the items that differ between two versions of a PACK; without AFTER, from the one in its folder."""
    history = History(pack)
    one, two = history.named(before), history.head if after is None else history.named(after)
    found = history.diff(history.version(one), history.version(two))
    counts = Counter(item.change for item in found)
    said = ", ".join(f"{count} {change}" for change, count in sorted(counts.items())) or "no item differs"
    click.echo(f"{one} to {two}: {said}")
    rows = [
        [item.change, item.part.rpartition("/")[2], item.id, item.before or "-", item.after or "-"]
        for item in found[:show]
    ]
    if rows:
        heads = ["change", "split", "item", "class before", "after"]
        for line in table_lines(heads, rows, left=(0, 1, 2, 3, 4), width=terminal_width()):
            click.echo(line)
    if len(found) > show:
        click.echo(f"{len(found) - show} more; --show {len(found)} shows all")


@click.command()
@_PACK
@click.argument("version")
@click.option("--out", type=PATH, help="Write it there as a pack of its own.  [default: into the pack's folder]")
def checkout(pack: Path, version: str, out: Path | None) -> None:
    """Put a VERSION of a PACK into its folder, at one moment; the log stays."""
    history = History(pack)
    name = history.named(version)
    if out is None:
        history.checkout(name)
    else:
        history.export(name, out)
    click.echo(f"{out or pack}: version {name}")


@click.command()
@_PACK
@click.argument("version")
@_REASON
def revert(pack: Path, version: str, reason: str) -> None:
    """Undo the edit that made a VERSION of a PACK, as a further edit."""
    history = History(pack)
    _say(pack, edits.revert(history, version, reason=reason))


@click.command()
@_PACK
@click.argument("what", nargs=-1, required=True, type=PATH)
@click.option("--class", "label", help="The class of all of it; folders CLASS/IMAGE need none.")
@click.option("--split", help="Where to.  [default: the split of the memory, or the support]")
@click.option("--source", default="", help="Where the items come from.")
@click.option("--licence", default="", help="Their licence.")
@click.option("--encoder", help=f"For images: {ENCODER_HELP}  [default: the pack's]")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True, help="Where to encode.")
@_REASON
def add(
    pack: Path,
    what: Sequence[Path],
    label: str | None,
    split: str | None,
    source: str,
    licence: str,
    encoder: str | None,
    device: str,
    reason: str,
) -> None:
    """Add images, folders CLASS/IMAGE, or files of features with --class to a PACK."""
    history = History(pack)
    d = int(history.manifest["dimension"])
    ids: list[str] = []
    labels: list[str] = []
    vectors = []
    for path in (one for one in what if one.suffix.lower() in ARRAYS):
        if label is None:
            raise BenchError(f"{path} does not say what class its rows are; name it with --class")
        names, x = read_features(path, d)
        ids, labels = [*ids, *names], [*labels, *[label] * len(x)]
        vectors.append(x)
    found = [item for path in what for item in class_of_images(path, [label] if label else [])]
    if found:
        name = encoder or str((history.manifest.get("encoder") or {}).get("name", "unknown"))
        items = [ImageItem(item, shown, image.read_bytes) for image, shown, item in found]
        with notices_alone():
            made = encode_source(load_encoder(name, device=choose_device(device)), items, cache=None)
        if made.set_aside:
            raise BenchError(f"{made.set_aside[0].id}: {made.set_aside[0].reason}; leave it out")
        ids, labels = [*ids, *(i.id for i in made.items)], [*labels, *(i.class_name for i in made.items)]
        vectors.append(made.x)
    x = torch.cat([one.float() for one in vectors])
    _say(pack, edits.add(history, x, labels, ids, split=split, source=source, licence=licence, reason=reason))


@click.command()
@_PACK
@click.argument("items", nargs=-1)
@click.option("--class", "classes", multiple=True, help="All items of a class.")
@click.option("--source", "sources", multiple=True, help="All items of a source.")
@_REASON
def remove(pack: Path, items: Sequence[str], classes: Sequence[str], sources: Sequence[str], reason: str) -> None:
    """Remove ITEMS from a PACK by their ids, or all of a class or source; queries stay."""
    _say(pack, edits.remove(History(pack), items=items, classes=classes, sources=sources, reason=reason))


@click.command()
@_PACK
@click.argument("items", nargs=-1, required=True, metavar="ITEM=CLASS...")
@_REASON
def relabel(pack: Path, items: Sequence[str], reason: str) -> None:
    """Put items of a PACK under other classes."""
    wanted = {}
    for line in items:
        item, equals, label = line.rpartition("=")
        if not equals or not item:
            raise BenchError(f"{line!r} is not ITEM=CLASS; write for instance web/3=cat")
        wanted[item] = label
    _say(pack, edits.relabel(History(pack), wanted, reason=reason))


def _say(pack: Path, entry: Entry) -> None:
    done = {"add": "added", "remove": "removed", "relabel": "relabelled", "revert": "reverted the edit of"}
    items = f"{entry.items} item{'s' * (entry.items != 1)}"
    click.echo(f"{pack}: {done[entry.action]} {items}; version {entry.version}, before it {entry.parent}")
