"""What a shell completes after an option: names, read from the source so that nothing waits for torch."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from bench.utils.errors import BenchError
from bench.utils.registry import DATASET, METHOD, SCENARIO, Kind


def methods(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the methods that may stand last in a list with commas."""
    before, comma, last = incomplete.rpartition(",")
    named = set(before.split(","))
    variants = {name for entry in _built_in(METHOD) for name in entry}
    names = {*variants, *_plugged(METHOD)} - named
    return [CompletionItem(f"{before}{comma}{name}") for name in sorted(names) if name.startswith(last)]


def scenarios(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the scenarios."""
    names = {name for entry in _built_in(SCENARIO) for name in entry} | set(_plugged(SCENARIO))
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def datasets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the data sets that have a name, and folders."""
    # What reads manifests takes longer to import than everything else that is completed.
    from bench.data.names import bundled, packs

    names = sorted({*bundled(), *packs(), *_plugged(DATASET)})
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="dir")]


def standard(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the standard data sets that can be prepared."""
    from bench.data.declaration import declarations

    return [CompletionItem(name, help=one.title) for name, one in declarations().items() if name.startswith(incomplete)]


def _built_in(kind: Kind) -> list[list[str]]:
    """Return the name of each built-in entry with those of its variants; nothing if a file cannot be read."""
    try:
        return [[entry.name, *entry.options.get("variants", ())] for entry in kind.built_in()]
    except BenchError:
        return []


def _plugged(kind: Kind) -> list[str]:
    """Return the names of entry points, which need no import and are by custom those of what they add."""
    return [point.name for point in kind.plug_ins()]
