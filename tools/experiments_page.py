"""Writes the page of experiments from their files: ``python -m tools.pages``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from bench.runner import experiments

_HEAD = """# Experiments

The tables and figures of the founding papers, each as a run with a name. This page is written by `make pages` from the
files of the experiments; `bench list experiments --json` gives the same to programs, and says which data are missing on
this machine.

```
bench run --experiment t05                        # the paper's data sets, which have to be prepared
bench run --experiment t05 --data glyphs          # a form of every experiment that runs offline
bench run --experiment t05 --data packs/imagenet  # on your own data
bench report RUN                                  # published numbers beside the measured ones, where there are any
```

An experiment is a plain configuration: scenario, methods, parameters, data. Lists of values are sweeps, and options on
the command line win over all of it: `bench run --experiment t13 --data glyphs --set knn.k=[1,64] --seeds 3`.

**Feature packs.** If none of the chosen data sets has an image memory of its own, the experiment's form for feature
packs is used. What replaces the paper's memory is stated below, and in every table of the report (`memory support
split`). Published numbers are in `published.yaml`. A table that is available only as a picture has none, because no
number is guessed.

**Tables of data.** `t10` (the data sets: classes, class splits, images, memory items a class) and `t18` (the first
texts of a class) run nothing. They are printed for data at hand:

```
bench data table t10 glyphs packs/pets
bench data table t18 glyphs --class "GREEK SMALL LETTER OMEGA"
```
"""


def _settings(of: Mapping[str, Any]) -> str:
    """Return parameters as YAML on one line."""
    text = yaml.safe_dump(dict(of), default_flow_style=True, width=10_000, sort_keys=False).strip()
    return f"`{text}`" if of else ""


def _form(form: experiments.Form) -> str:
    said = [
        f"scenario `{form.scenario}`" if form.scenario else "",
        f"methods {', '.join(f'`{m}`' for m in form.methods)}" if form.methods else "",
        _settings(form.set),
        f"{form.seeds} seeds" if form.seeds else "",
    ]
    return ", ".join(part for part in said if part) or "as in the paper's"


def _section(name: str) -> str:
    experiment = experiments.read(name)
    numbers = len(experiments.published(name))
    lines = [
        f"## {name}\n",
        f"{experiment.of}. {experiment.title}: {experiment.shows}.\n",
        f"- `{experiment.scenario}` with {', '.join(f'`{m}`' for m in experiment.methods)}"
        + (f", {_settings(experiment.set)}" if experiment.set else ""),
        f"- Data: {', '.join(experiment.data)}; {experiment.prepare}",
        f"- On `glyphs`: {_form(experiment.glyphs)}",
    ]
    if experiment.packs is not None:
        packs = experiment.packs
        simulated = packs.simulated[0].upper() + packs.simulated[1:]
        lines += [f"- On feature packs, such as {', '.join(packs.data)}: {_form(packs)}. *{simulated}.*"]
    lines += [f"- {numbers} published numbers"] if numbers else []
    lines += [f"- {experiment.note}"] if experiment.note else []
    return "\n".join(lines)


def page() -> str:
    """Return the page as Markdown."""
    return "\n\n".join([_HEAD.rstrip(), *(_section(name) for name in experiments.names())]) + "\n"
