"""Named experiments: the tables and figures of the papers as runs, with their published numbers.

An experiment is a YAML file in this folder: scenario, methods, parameters and data, as in a config, with its title and
what to prepare. Two forms of it differ from the paper's: a smaller one for the bundled data set ``glyphs``, and one for
feature packs that have no image memory of their own. ``published.yaml`` holds the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from bench.data.names import GLYPHS_WITH, known
from bench.data.pack_files import MANIFEST
from bench.utils.errors import BenchError, suggest

OFFLINE = "glyphs"
"""The data set for which every experiment has a form of its own."""


OF_DATA = {
    "t10": "Table 10: The data sets, their class splits and memory items a class",
    "t18": "Table 18: The first texts of a class in the text memory",
}
"""Tables of the founding paper that describe data and run nothing; ``bench data table`` prints them."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What differs from the paper's run on other data.

    Attributes
    ----------
    scenario : str or None
        Another scenario, where the paper's cannot be dealt.
    methods : tuple of str
        In place of the paper's; empty for the same.
    set : mapping
        Parameters beside the paper's, over which they win.
    data : tuple of str
        Data sets that it is meant for; any others will do that have as much.
    simulated : str
        What stands in for something that the paper has.
    """

    scenario: str | None = None
    methods: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)
    seeds: int | None = None
    data: tuple[str, ...] = ()
    simulated: str = ""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One table or figure.

    Attributes
    ----------
    of : str
        The table, figure or section.
    shows : str
        What is compared, in one line.
    set : mapping
        Parameters by name, e.g. ``{"knn.k": 16}``; a list is a sweep or a tuple, as the parameter has it.
    data : tuple of str
        Names of the paper's data sets.
    prepare : str
        What it takes to have them.
    glyphs : Form
        What differs on ``glyphs``.
    packs : Form or None
        What differs on data sets of which none has an image memory; None where that makes no sense.
    """

    name: str
    title: str
    of: str
    shows: str
    scenario: str
    methods: tuple[str, ...]
    data: tuple[str, ...]
    prepare: str
    glyphs: Form
    packs: Form | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 5
    paper: str = "mml"
    note: str = ""

    def settings(self, form: Form, data: Sequence[str]) -> dict[str, Any]:
        """Return the settings of a run in a form: ``scenario``, ``methods``, ``data``, ``seeds`` and ``set``."""
        own = self.set
        if form.scenario is not None:
            own = {key: value for key, value in own.items() if key.rpartition(".")[0] != self.scenario}
        return {
            "scenario": form.scenario or self.scenario,
            "methods": list(form.methods or self.methods),
            "data": list(data),
            "seeds": form.seeds or self.seeds,
            "set": {**own, **form.set},
        }


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published number.

    Attributes
    ----------
    method : str or None
        The registered name; None for a method that is not here.
    settings : mapping
        What else tells it apart, such as the encoder.
    unit : str
        Percent of queries answered rightly, unless it says otherwise.
    source : str
        The paper and its table, or the later paper that measured it anew.
    classes : int or None
        How many classes were asked about; None for an average over data sets.
    measure : str or None
        The column of the records that measures it; None for accuracy.
    chosen_on, trained_on : str or None
        What its epoch was chosen on, and what was trained on; None where neither the paper nor its code says.
    """

    experiment: str
    label: str
    method: str | None
    dataset: str
    value: float
    source: str
    classes: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "top-1 %"
    measure: str | None = None
    chosen_on: str | None = None
    trained_on: str | None = None


@cache
def _content(file: str) -> Any:
    # libyaml's is ten times as quick, where it is built in.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(files(__name__).joinpath(file).read_text(encoding="utf-8"), loader)


def names() -> list[str]:
    """Return the names of all experiments: tables, figures, sections, then the rest."""
    found = (entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml"))
    return sorted((name for name in found if name != "published"), key=_place)


@cache
def read(name: str) -> Experiment:
    """Return an experiment; an unknown one raises :class:`BenchError` and suggests the nearest."""
    if name in OF_DATA:
        raise BenchError(f"{name} describes data and runs nothing; `bench data table {name} DATA` prints it")
    if name not in names():
        raise BenchError(f"unknown experiment {name!r}{suggest(name, names())}")
    content = dict(_content(f"{name}.yaml"))
    for form in ("glyphs", "packs"):
        if form in content:
            content[form] = Form(**_checked(Form, content[form], name))
    return Experiment(**_checked(Experiment, {**content, "name": name}, name))


def _checked(cls: type[Form] | type[Experiment], content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a file says, ready for a dataclass; a setting that it does not have is refused."""
    known = [f.name for f in fields(cls)]
    for key in content:
        if key not in known:
            raise BenchError(f"experiment {name}: unknown setting {key!r}{suggest(str(key), known)}")
    return {key: tuple(value) if key in ("methods", "data") else value for key, value in content.items()}


def load(name: str, data: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of an experiment's run, as a config file holds them.

    Parameters
    ----------
    data : sequence of str, optional
        Data sets, by name or path, in place of the paper's. ``glyphs`` alone gives the experiment's smaller form; data
        sets of which none has an image memory give its form for feature packs. ``glyphs@ENCODER`` counts as ``glyphs``.

    Returns
    -------
    dict
        ``scenario``, ``methods``, ``data``, ``seeds`` and ``set``.

    Raises
    ------
    BenchError
        If a data set is not there; the message says what to prepare.
    """
    experiment = read(name)
    wanted = list(data or experiment.data)
    offline = len(wanted) == 1 and wanted[0].partition("@")[0] == OFFLINE
    form = experiment.glyphs if offline else Form()
    absent = _absent(experiment, experiment.settings(form, wanted))
    if absent:
        packs = experiment.packs
        others = f", or feature packs such as {', '.join(packs.data)}" if packs else ""
        raise BenchError(
            f"experiment {name} lacks the data {', '.join(absent)}; prepare {experiment.prepare} (see `bench data "
            f"prepare` and `bench memory build`), or run it on other data: --data {OFFLINE}{others}"
        )
    if experiment.packs is not None and not offline and not _any_memory(wanted):
        form = experiment.packs
    return experiment.settings(form, wanted)


def _absent(experiment: Experiment, settings: Mapping[str, Any]) -> list[str]:
    trained_on = settings["set"].get(f"{experiment.scenario}.train_on")
    return missing([*settings["data"], *([trained_on] if trained_on else [])])


def _any_memory(data: Sequence[str]) -> bool:
    """Return whether any of the data sets has an image memory of its own."""
    from bench.data.registry import resolve

    return any(len(resolve(name).memory.images) for name in data)


def missing(data: Sequence[str], there: Collection[str] | None = None) -> list[str]:
    """Return those of the data sets that are neither known by name nor the path of a pack.

    ``there`` are the known names, where they have been looked for already.
    """
    there = known() if there is None else there
    named = [name for name in data if not (Path(name) / MANIFEST).is_file()]
    return [name for name in named if name not in there and not name.startswith(GLYPHS_WITH)]


def published(name: str) -> list[Published]:
    """Return the published numbers of an experiment; none if its table survives as an image only."""
    content = _content("published.yaml")
    experiment = read(name)
    own = f"{content['papers'][experiment.paper]}, {experiment.of}"
    asked = content["classes"]
    found = []
    for row in content["numbers"]:
        if row["experiment"] == name:
            facts = {key: value for key, value in row.items() if key != "paper"}
            source = content["papers"][row["paper"]] if "paper" in row else own
            found.append(Published(source=source, classes=asked.get(row["dataset"]), **facts))
    return found


def classes_asked(name: str) -> dict[str, int | None]:
    """Return the data sets of an experiment and how many classes of each its paper asks about, where that is known."""
    asked = _content("published.yaml")["classes"]
    return {dataset: asked.get(dataset) for dataset in read(name).data}


def listing() -> list[dict[str, Any]]:
    """Return every experiment for ``bench list``: name, summary, what it runs, and which data is not there."""
    found = []
    there = known()
    for name in names():
        experiment = read(name)
        found.append(
            {
                "name": name,
                "summary": f"{experiment.of}: {experiment.title}",
                "shows": experiment.shows,
                "paper": _content("published.yaml")["papers"][experiment.paper],
                "scenario": experiment.scenario,
                "methods": list(experiment.methods),
                "parameters": dict(experiment.set),
                "data": list(experiment.data),
                "missing_data": missing(experiment.data, there),
                "prepare": experiment.prepare,
                "glyphs": _described(experiment, experiment.glyphs),
                "packs": _described(experiment, experiment.packs) if experiment.packs else None,
                "published_numbers": len(published(name)),
                "note": experiment.note,
            }
        )
    return found


def _described(experiment: Experiment, form: Form) -> dict[str, Any]:
    """Return what a form runs, for the listing."""
    settings = experiment.settings(form, form.data or [OFFLINE])
    settings["parameters"] = settings.pop("set")
    return {**settings, "simulated": form.simulated}


def _place(name: str) -> tuple[int, str]:
    """Return the sort key of a name: tables, figures, sections, then the rest."""
    kind = re.match(r"[tfs](?=\d)", name)
    return ("tfs".index(kind.group()) if kind else 3), name
