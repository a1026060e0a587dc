"""Commands that compute: ``bench run``, ``merge`` and ``perf``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli import completion
from bench.runner.parallel import interpreters
from bench.utils.errors import BenchError


@click.command()
@click.option("--scenario", shell_complete=completion.scenarios, help="Scenario to run.  [default: incremental]")
@click.option("--experiment", help="A table or figure of the papers by name; see `bench list experiments`.")
@click.option(
    "--methods", shell_complete=completion.methods, help="Methods, separated by commas; knn:k=64 sets a parameter."
)
@click.option(
    "--data",
    shell_complete=completion.datasets,
    multiple=True,
    help="Data set: a name, or a feature pack's folder; may be repeated.",
)
@click.option("--encoder", help="Encode first: --data is then a folder or table of images, shards, or glyphs.")
@click.option("--seeds", help="A count (5 is 0 to 4) or a list (0,3,7).  [default: 5]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder that runs are kept in.  [default: runs]")
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with these settings; options win over it.")
@click.option("--set", "assignments", multiple=True, metavar="NAME.PARAM=VALUE", help="Set a parameter: knn.k=16.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to compute.  [default: auto]")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="Of trainings' losses.  [default: fp32]")
@click.option("--search", metavar="ENGINE", help="exact, hnsw, ivfpq, sq8 or milvus:ADDRESS.  [default: exact]")
@click.option("--jobs", type=int, help="Worker processes.  [default: 1; with --ray all there is room for]")
@click.option("--ray", metavar="local|ADDRESS", help="Work on a Ray cluster; needs the extra `ray`.")
@click.option("--shard", metavar="I/N", help="Run part I of N only, in a folder of its own; see `bench merge`.")
@click.option("--load", type=click.Path(path_type=Path), help="Use the weights a run kept instead of training.")
@click.option("--save-states", is_flag=True, help="Keep the weights trained on seen classes in the run's folder.")
@click.option("--oracle", multiple=True, metavar="NAME.PARAM=A,B", help="Add an upper bound chosen on the queries.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def run(
    scenario: str | None,
    experiment: str | None,
    methods: str | None,
    data: Sequence[str],
    encoder: str | None,
    seeds: str | None,
    out: Path | None,
    config: Path | None,
    assignments: Sequence[str],
    device: str | None,
    precision: str | None,
    search: str | None,
    jobs: int | None,
    ray: str | None,
    shard: str | None,
    load: Path | None,
    save_states: bool,
    oracle: Sequence[str],
    quiet: bool,
) -> None:
    """Run a comparison; a stopped run goes on where it stopped.

    Results are kept in OUT/SCENARIO-ID, where ID is a hash of all settings: a changed setting gives a new folder.
    """
    from bench.runner.config import (
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
        "precision": "fp32",
        "search": "exact",
        "set": {},
    }
    if config is not None:
        settings |= _with_values(config, read_config(config))
    if experiment:
        from bench.runner import experiments

        settings |= experiments.load(experiment, list(data)) | {"experiment": experiment}
    given = {
        "scenario": scenario,
        "methods": methods,
        "data": list(data) or None,
        "seeds": seeds,
        "out": out,
        "device": device,
        "precision": precision,
        "search": search,
    }
    settings |= {key: value for key, value in given.items() if value is not None}
    settings["set"] = {**settings["set"], **parse_assignments(assignments)}

    if encoder is not None:
        settings["data"] = _encoded(_names(settings["data"]), encoder, str(settings["device"]), progress=not quiet)

    # Workers import what they need while this process imports the same and plans.
    with interpreters.waiting(jobs if jobs and ray is None else 1) as ready:
        from bench.runner.loop import execute
        from bench.runner.parallel.pools import workers
        from bench.runner.parallel.work_units import Shard
        from bench.runner.plan import prepare

        part = Shard.parse(shard) if shard is not None else None

        planned = prepare(
            scenario=_names(settings["scenario"]),
            methods=_names(settings["methods"]),
            data=_names(settings["data"]),
            seeds=settings["seeds"],
            assignments=settings["set"],
            out=Path(str(settings["out"])),
            device=str(settings["device"]),
            experiment=settings.get("experiment"),
            load=load,
            save_states=save_states,
            oracle=oracle,
            search=str(settings["search"]),
            precision=str(settings["precision"]),
        )
        if not planned.n_cells:
            raise BenchError("nothing to run: a list of methods, data sets or values is empty; name at least one")
        if part is not None:
            planned = planned.shard(part)
        execute(planned, progress=not quiet, workers=workers(planned, jobs=jobs, ray=ray, ready=ready))
    _say_what_was_skipped(planned.folder)
    click.echo(f"{_cells(planned.n_cells)} in {planned.folder}")
    click.echo(f"next: bench report {planned.folder}")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder that runs are kept in.  [default: runs]")
def merge(folders: Sequence[Path], out: Path | None) -> None:
    """Put the shards of one run together: FOLDERS are what `bench run --shard` wrote, or hold it."""
    from bench.runner.parallel.merge_shards import merge

    folder, cells = merge(folders, out or Path("runs"))
    click.echo(f"{_cells(cells)} in {folder}")
    click.echo(f"next: bench report {folder}")


def _encoded(data: Sequence[str], encoder: str, device: str, *, progress: bool) -> list[str]:
    from bench.cli.options import say
    from bench.data.encode_on_the_fly import encode_all
    from bench.device.choose import choose_device

    return encode_all(data, encoder, device=choose_device(device), progress=progress, said=say)


@click.command()
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="An object with limits and comparisons, in seconds.")
def perf(device: str, as_json: bool) -> None:
    """Measure this machine's limits, and the harness beside what one would use instead; takes about a minute."""
    import json

    from bench.device.choose import choose_device
    from bench.perf.measure import as_text, measure

    found = measure(choose_device(device), lambda what: click.echo(f"measuring {what}", err=True))
    click.echo(json.dumps(found, indent=2) if as_json else as_text(found))


def _with_values(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return settings of a file; a key that is left without a value is refused."""
    for key, value in content.items():
        if value is None:
            raise BenchError(f"{path}: {key!r} has no value; write one or leave the line out")
    return content


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


def _names(value: Any) -> list[str]:
    """Return names given as a list or separated by commas."""
    if isinstance(value, (list, tuple)):
        return [str(v) for v in value]
    return [part.strip() for part in str(value).split(",") if part.strip()]


def _say_what_was_skipped(folder: Path) -> None:
    from bench.results.run_folder import read_table
    from bench.results.schema import COLUMNS

    # Not as a data frame: importing pandas would take longer than all the rest of this.
    wanted = ("schema", "status", "method", "dataset", "reason")
    table = read_table(folder, without=set(COLUMNS) - set(wanted))
    rows = table.to_pylist() if table is not None else []
    skips = {(row["method"], row["dataset"], row["reason"]) for row in rows if row["status"] == "skipped"}
    for method, dataset, reason in sorted(skips):
        click.echo(f"skipped {method} on {dataset}: {reason}", err=True)
