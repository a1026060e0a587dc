"""Commands on features: ``bench data import``, ``bench data inspect`` and ``bench audit``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli import completion
from bench.cli.audit_words import asked, bounds, margins_of, named_lines, naming_of
from bench.cli.options import PATH, Number, Whole, role_options, split_names, warn
from bench.data.duplicates import audit_by_name
from bench.data.import_features import Options, import_pack
from bench.data.inspect import as_text, inspect_dataset
from bench.data.registry import resolve
from bench.reports.metrics.leak_bounds import unseen_leaks
from bench.reports.tables.files import exact_csv
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError


@click.command(name="import")
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.option("--classes", required=True, type=PATH, help="Class names: YAML, JSON or text.")
@click.option("--out", required=True, type=PATH, help="The pack's folder.")
@click.option("--texts", multiple=True, type=PATH, help="Text vectors: x, name, source.")
@click.option("--name", help="The data set's name.  [default: the first file's]")
@click.option("--licence", default="unknown", help="Licence of the data.")
@click.option("--citation", default="", help="Who made it.")
@click.option("--description", default="", help="One line.")
@click.option("--encoder", default="unknown", help="Encoder that made the features, e.g. ViT-B-32:openai.")
@click.option("--space", default="", help="Name of the encoder's space; packs of one space can be mixed.")
@click.option("--prompt-source", help="Source of the class texts.  [default: the first that names the class]")
@role_options
def import_(files: Sequence[Path], classes: Path, out: Path, texts: Sequence[Path], **given: Any) -> None:
    """Make a feature pack of .npz, .npy or .safetensors FILES.

    Arrays are named SPLIT_x [n, d] and SPLIT_y [n], or x and y for a single split.
    """
    for role in ("support", "query", "validation", "memory"):
        given[role] = split_names(given[role])
    given["name"] = given["name"] or files[0].stem
    made = import_pack(list(files), classes, out, Options(**given), texts=list(texts))
    warn(made.warnings)
    splits = ", ".join(f"{name} {entry['rows']}" for name, entry in made.manifest["splits"].items())
    click.echo(f"{made.folder}: {len(made.manifest['classes'])} classes, d = {made.manifest['dimension']}, {splits}")


@click.command(name="inspect")
@click.argument("name", shell_complete=completion.datasets)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--no-overlap", is_flag=True, help="Do not compare splits with each other.")
def inspect_(name: str, as_json: bool, no_overlap: bool) -> None:
    """Describe a data set and check its hashes, shapes, norms, labels and overlaps.

    NAME is a data set's name or a pack's folder.
    """
    found = inspect_dataset(resolve(name), overlaps=not no_overlap)
    click.echo(json.dumps(found, indent=2) if as_json else as_text(found))


@click.command()
@click.argument("name", shell_complete=completion.datasets)
@click.option("--threshold", type=Number(0, 1), help="Cosine of a duplicate.  [default: the data set's, mostly 0.97]")
@click.option("--show", type=Whole(0), default=5, show_default=True, help="Pairs that are printed for each two parts.")
@click.option(
    "--recall",
    metavar="FOUND/PLANTED",
    help="How many planted leaks the audit finds: bounds those of queries that it did not find.",
)
@click.option("--texts", type=PATH, help="Captions or training texts, one a line: which of them name a class?")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@click.option("--out", type=PATH, help="Also write a CSV file with the margin of each labelled image.")
def audit(
    name: str,
    threshold: float | None,
    show: int,
    recall: str | None,
    texts: Path | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Find duplicates between memory, support and queries of a data set, and labelled images that look misplaced.

    NAME is a data set's name or a pack's folder. Runs do the same check for duplicates: their records count the
    queries that have a near-duplicate, and reports show the accuracy with and without them.
    """
    planted = None if recall is None else _two_counts(recall)
    found = audit_by_name(name, threshold=threshold)
    naming = None if texts is None else naming_of(texts, resolve(name))
    if as_json:
        told = found.as_dict() | ({} if naming is None else {"texts": naming})
        if planted is not None:
            told["unseen_at_most"] = {o.within: unseen_leaks(len(o.pairs), o.items, *planted) for o in asked(found)}
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(found.as_text(show=show))
        for line in () if planted is None else bounds(found, planted):
            click.echo(line)
        for line in () if naming is None else named_lines(naming, show):
            click.echo(line)
    if out is not None:
        write_atomically(out, exact_csv(margins_of(found)))
        click.echo(f"{out}: the margin of each labelled image", err=as_json)


def _two_counts(text: str) -> tuple[int, int]:
    first, slash, second = text.partition("/")
    whole = (
        bool(slash)
        and text.isascii()
        and first.isdecimal()
        and second.isdecimal()
        and max(len(first), len(second)) <= 9
    )
    if not whole or not 0 <= int(first) <= int(second) or not int(second):
        raise BenchError(f"--recall {text!r} is not FOUND/PLANTED; write for instance 190/200")
    return int(first), int(second)
