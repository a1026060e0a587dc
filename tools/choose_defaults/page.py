"""The page with the results: one block a method, which a run of that method replaces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tools.choose_defaults.measure import Tried, best
from tools.choose_defaults.protocol import Candidates, Protocol, is_default

_HEAD = """# How defaults were chosen

This page is written by `python -m tools.choose_defaults`. Papers tune each method for their own data, and settings that
suit one method's data decide a comparison. So every method with settings of its own gets the same number of tries,
{tries}, on data that no comparison ranks on: {data}. Their rows are marked in reports and left out of ranks and
means.

A candidate is judged by its mean accuracy over tasks, data sets and {seeds}, or fewer where a method says so; ties go
to the first. Queries of these data sets take part in the choice, and no other query does, unless a method says so.
Differences of a few tenths of a point are chance: what is chosen is a sound setting, not the best one.

How a run chooses settings, and what it does where its data have no validation split or one image a class (it falls back
and says so, and refuses only what no data could give), stands in [a run](concepts/run.md#settings-that-are-chosen).

| task | what it is | scenario |
| --- | --- | --- |
{tasks}

```
bench data import food101.npz --classes classes.json --texts texts.npz --out packs/food101
bench data import dtd.npz --classes classes.json --texts texts.npz --out packs/dtd
python -m tools.choose_defaults
```
"""


def head(of: Protocol) -> str:
    """Return what precedes the blocks."""
    rows = []
    for name, setting in of.tasks.items():
        values = [f"{key}={value}" for key, value in setting.set.items()]
        values += [f"{data}: " + ", ".join(f"{k}={v}" for k, v in own.items()) for data, own in setting.of_each.items()]
        rows.append(f"| {name} | {setting.shows} | `{setting.scenario}` with {'; '.join(values) or 'its defaults'} |")
    data = ", ".join(_described(name, roles) for name, roles in of.data.items())
    return _HEAD.format(tries=of.tries, data=data, seeds=_counted(of.seeds), tasks="\n".join(rows))


def _counted(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"seeds 0 to {seeds - 1}"


def _described(name: str, roles: Mapping[str, tuple[str, ...]]) -> str:
    parts = [f"split {'+'.join(splits)} as {role}" for role, splits in roles.items()]
    return f"{name} ({', '.join(parts)})" if parts else name


def block(name: str, candidates: Candidates, tried: list[Tried]) -> str:
    """Return a method's table: a candidate a row, the chosen one in bold."""
    columns = list(tried[0].accuracy)
    chosen = best(tried)
    fixed = f" All have {written(candidates.fixed)}." if candidates.fixed else ""
    fixed += f" Tried with {_counted(candidates.seeds)}." if candidates.seeds else ""
    lines = [
        f"## {name}",
        "",
        candidates.why + fixed,
        "",
        f"| candidate | {' | '.join(f'{data}, {task}' for task, data in columns)} | mean |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for place, one in enumerate(tried):
        cells = [written(one.values), *(f"{one.accuracy[key]:.1f}" for key in columns), f"{one.mean:.2f}"]
        lines.append(f"| {' | '.join(f'**{cell}**' if place == chosen else cell for cell in cells)} |")
    if not is_default(name, tried[chosen].values):
        lines += ["", "The default differs from the chosen candidate."]
    return "\n".join(lines) + "\n"


def written(values: Mapping[str, Any]) -> str:
    """Return a candidate's parameters as a cell."""
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "the method's own"


def blocks(page: str) -> dict[str, str]:
    """Return the blocks of a page by method."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    return {part.split("\n", 1)[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}


def chosen(part: str) -> str:
    """Return the parameters of the chosen candidate of a block, as it writes them."""
    found = re.search(r"^\| \*\*(.+?)\*\* \|", part, re.MULTILINE)
    assert found is not None
    return found[1]


def put(page: str, of: Protocol, made: Mapping[str, str]) -> str:
    """Return a page with the blocks of some methods replaced."""
    every = {**blocks(page), **made}
    return "\n".join([head(of), *(every[name] for name in sorted(every))])
