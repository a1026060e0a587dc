"""``bench edit``: exact changes of a kept classifier, with their log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bench.classifier import Classifier
from bench.classifier.inputs import ARRAYS, read_features
from bench.classifier.receipt import as_json, receipt_of
from bench.cli.options import ENCODER_HELP, notices_alone, terminal_width
from bench.data.images.listing import SUFFIXES
from bench.reports.tables.console import table_lines
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError
from bench.utils.names import expand


@click.command()
@click.argument("classifier", type=click.Path(path_type=Path))
@click.argument("action", type=click.Choice(["add", "remove", "forget", "log"]))
@click.argument("what", nargs=-1)
@click.option("--class", "classes", multiple=True, help="add: the class of all of it. Else: a class that goes.")
@click.option("--source", "sources", multiple=True, help="add: into the memory, from here. Else: a source that goes.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the edited classifier here.  [default: in place]")
@click.option("--receipt", type=click.Path(path_type=Path), help="remove, forget: write a receipt for it here.")
@click.option("--encoder", help=f"Where the encoder is now, if it was moved: {ENCODER_HELP}")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True, help="Where to compute.")
def edit(
    classifier: Path,
    action: str,
    what: Sequence[str],
    classes: Sequence[str],
    sources: Sequence[str],
    out: Path | None,
    receipt: Path | None,
    encoder: str | None,
    device: str,
) -> None:
    """Change a kept classifier exactly: as if it had been fitted with, or had never seen, the items.

    ``add`` takes images, folders CLASS/IMAGE, or files of features with --class. ``remove`` takes ids of items, and
    what --class and --source name; ``forget`` takes the same, and the log keeps a hash instead of the names. ``log``
    prints what was changed.
    """
    with notices_alone():
        made = Classifier.load(classifier, encoder=encoder, device=device)
        before = made.model_
        if receipt is not None and action not in ("remove", "forget"):
            raise BenchError(f"--receipt is for remove and forget, not for {action}; leave it out")
        if action == "log":
            if unused := [*what, *classes, *sources]:
                raise BenchError(f"log prints all edits, and has no use for {unused[0]!r}; leave it out")
            click.echo("\n".join(_log(made.log_)))
            return
        if out is not None:
            made.require_free(out)
        if action == "add":
            _add(made, [expand(Path(one)) for one in what], classes, sources)
        elif action == "remove":
            made.remove(list(what), classes=list(classes), sources=list(sources))
        else:
            made.forget(list(what), classes=list(classes), sources=list(sources))
        told = None if receipt is None else as_json(receipt_of(before, made.model_))
        made.save(out or classifier)
        if receipt is not None and told is not None:
            write_atomically(receipt, told)
    last = made.log_[-1]
    done = {"add": "added", "remove": "removed", "forget": "forgot"}[action]
    items = f"{last['items']} item{'s' * (last['items'] != 1)}"
    click.echo(f"{out or classifier}: {done} {items}, {last['left']} are left, {len(made.classes_)} classes")


def _add(made: Classifier, paths: Sequence[Path], classes: Sequence[str], sources: Sequence[str]) -> None:
    if len(classes) > 1 or len(sources) > 1:
        raise BenchError("add takes one --class and one --source; add the others by commands of their own")
    if not paths:
        raise BenchError("nothing to add; name images, folders of class folders, or files of features")
    source = sources[0] if sources else None
    items = [item for path in paths for item in class_of_images(path, classes)]
    for path in paths:
        if path.suffix.lower() in ARRAYS:
            if not classes:
                raise BenchError(f"{path} does not say what class its rows are; name it with --class")
            rows, x = read_features(path, made.n_features_in_)
            made.add(x, classes[0], ids=rows, source=source)
    if items:
        images, labels, ids = zip(*items, strict=True)
        made.add(list(images), list(labels), ids=list(ids), source=source)


def class_of_images(path: Path, classes: Sequence[str]) -> Iterator[tuple[Path, str, str]]:
    """Yield each image with its class and its id: its path, or CLASS/IMAGE below a folder."""
    if path.suffix.lower() in ARRAYS:
        return
    if not path.is_dir():
        if not classes:
            raise BenchError(f"what class does {path} show? name it with --class, or give a folder of class folders")
        yield path, classes[0], str(path)
        return
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise BenchError(f"{path} holds no image; give images, or a folder of class folders")
    for image in found:
        below = image.relative_to(path)
        if not classes and len(below.parts) < 2:
            raise BenchError(f"{image} lies in no class folder; give {path}/CLASS/{image.name}, or name --class")
        yield image, classes[0] if classes else below.parts[0], below.as_posix()


def _log(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the edits as a table, oldest first."""
    if not entries:
        return ["nothing was changed since it was fitted"]
    known = ("time", "action", "items", "left", "state", "items_hash")
    rows = []
    for entry in entries:
        more = "; ".join(f"{key} {_words(value)}" for key, value in entry.items() if key not in known)
        rows.append([*(str(entry.get(key, "")) for key in known), more])
    heads = ["time", "action", "items", "left", "state", "hash of what is left", "what"]
    return table_lines(heads, rows, left=(0, 1, 4, 5, 6), width=terminal_width())


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
