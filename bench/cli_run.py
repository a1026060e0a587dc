"""Command that runs comparisons: ``bench run``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--scenario", help="Scenario to run.  [default: incremental]")
@click.option("--experiment", help="A table or figure of the papers by name; see `bench list experiments`.")
@click.option("--methods", help="Methods, separated by commas; knn:k=64 sets a parameter.")
@click.option("--data", multiple=True, help="Data set: a name, or a feature pack's folder; may be repeated.")
@click.option("--seeds", help="A count (5 is 0 to 4) or a list (0,3,7).  [default: 5]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder that runs are kept in.  [default: runs]")
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with these settings; options win over it.")
@click.option("--set", "assignments", multiple=True, metavar="NAME.PARAM=VALUE", help="Set a parameter: knn.k=16.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.  [default: auto]")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def run(
    scenario: str | None,
    experiment: str | None,
    methods: str | None,
    data: Sequence[str],
    seeds: str | None,
    out: Path | None,
    config: Path | None,
    assignments: Sequence[str],
    device: str | None,
    quiet: bool,
) -> None:
    """Run a comparison; a stopped run goes on where it stopped.

    Results are kept in OUT/SCENARIO-ID, where ID is a hash of all settings: a changed setting gives a new folder.
    """
    from bench.settings import (
        DEFAULT_DATA,
        DEFAULT_METHODS,
        DEFAULT_SCENARIO,
        DEFAULT_SEEDS,
        parse_assignments,
        read_config,
    )

    settings: dict[str, Any] = {
        "scenario": DEFAULT_SCENARIO,
        "methods": list(DEFAULT_METHODS),
        "data": list(DEFAULT_DATA),
        "seeds": DEFAULT_SEEDS,
        "out": "runs",
        "device": "auto",
        "set": {},
    }
    settings |= read_config(config) if config else {}
    if experiment:
        from bench import experiments

        settings |= experiments.load(experiment, list(data)) | {"experiment": experiment}
    given = {
        "scenario": scenario,
        "methods": methods,
        "data": list(data) or None,
        "seeds": seeds,
        "out": out,
        "device": device,
    }
    settings |= {key: value for key, value in given.items() if value is not None}
    settings["set"] = {**settings["set"], **parse_assignments(assignments)}

    from bench.runner import execute, prepare

    planned = prepare(
        scenario=_names(settings["scenario"]),
        methods=_names(settings["methods"]),
        data=_names(settings["data"]),
        seeds=settings["seeds"],
        assignments=settings["set"],
        out=Path(settings["out"]),
        device=settings["device"],
        experiment=settings.get("experiment"),
    )
    execute(planned, progress=not quiet)
    _say_what_was_skipped(planned.folder)
    click.echo(f"{planned.n_cells} cells in {planned.folder}")
    click.echo(f"next: bench report {planned.folder}")


def _names(value: Any) -> list[str]:
    """Return names given as a list or separated by commas."""
    if isinstance(value, (list, tuple)):
        return [str(v) for v in value]
    return [part.strip() for part in str(value).split(",") if part.strip()]


def _say_what_was_skipped(folder: Path) -> None:
    from bench.records import read_records

    frame = read_records(folder)
    skipped = frame[frame["status"] == "skipped"].drop_duplicates(["method", "dataset", "reason"])
    for row in skipped.itertuples():
        click.echo(f"skipped {row.method} on {row.dataset}: {row.reason}", err=True)
