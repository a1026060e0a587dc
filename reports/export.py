"""Finished runs in the files of TensorBoard, MLflow and Weights & Biases, written without any network."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bench.reports import answers, estimates
from bench.reports.cost import COSTS
from bench.reports.load import Loaded, load
from bench.reports.scores import scores
from bench.reports.style import condition_text, slug
from bench.reports.summary import SCORES, per_cell, per_session
from bench.utils.errors import BenchError

PROJECT = "retrieval-bench"

_SESSION = ("accuracy", "old_accuracy", "new_accuracy", "mean_class_recall")


@dataclass(frozen=True, eq=False, kw_only=True)
class Track:
    """One cell as a tracker shows it.

    Attributes
    ----------
    name : str
        Scenario, data set, condition, method and seed, separated by slashes.
    settings : mapping of str to str
        Everything that shaped it.
    curve : list of (int, mapping)
        By session, its scores; shares, and what was not measured is left out.
    final : mapping of str to float
        Scores after the last session and costs.
    seconds : float
        When the run was made, since 1970: the same for all of a run, so that an export says nothing of itself.
    """

    name: str
    settings: Mapping[str, str]
    curve: list[tuple[int, Mapping[str, float]]]
    final: Mapping[str, float]
    seconds: float


def tracks(loaded: Loaded) -> list[Track]:
    """Return every finished cell of some runs, sorted by name."""
    records, scored = loaded.records, scores(loaded.records)
    cells = per_cell(records, scored, estimates.per_cell_extra(answers.groups(loaded)))
    by_cell = dict(list(per_session(records, scored).groupby("cell")))
    first = records.drop_duplicates("cell").set_index("cell")
    created = {str(info.manifest["run"]): str(info.manifest.get("created", "")) for info in loaded.runs}
    found = []
    for row in cells.to_dict("records"):
        facts = first.loc[row["cell"]]
        condition = condition_text(str(row["condition"]))
        parts = (row["scenario"], row["dataset"], condition, row["method"], f"seed {row['seed']}")
        sessions = by_cell.get(row["cell"], pd.DataFrame(columns=["session", *_SESSION]))
        found.append(
            Track(
                name="/".join(slug(str(part)) for part in parts if part),
                settings={str(k): str(v) for k, v in _settings(facts)},
                curve=[(int(s["session"]), _measured(s, _SESSION)) for s in sessions.to_dict("records")],
                final=_measured(row, [*SCORES, *COSTS]),
                seconds=_seconds(created.get(str(facts["run"]), "")),
            )
        )
    return sorted(found, key=lambda track: track.name)


def _settings(facts: pd.Series) -> Iterator[tuple[str, Any]]:
    yield "cell", facts.name
    for column in ("run", "scenario", "dataset", "encoder", "method", "method_name", "seed", "fidelity"):
        yield column, facts[column]
    yield from json.loads(facts["condition"]).items()
    for name, column in (("scenario", "scenario_params"), ("method", "method_params")):
        yield from ((f"{name}.{key}", value) for key, value in json.loads(facts[column]).items())
    provenance = json.loads(facts["provenance"]) if isinstance(facts["provenance"], str) else {}
    yield "git_commit", provenance.get("git_commit")


def _measured(row: Mapping[Any, Any], names: Sequence[str]) -> dict[str, float]:
    found = {name: row[name] for name in names if not pd.isna(row[name])}
    return {name: float(value) for name, value in found.items() if math.isfinite(float(value))}


def _seconds(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return 0.0


def export(folders: Sequence[Path], to: str, out: Path) -> tuple[str, tuple[str, ...]]:
    """Write the runs for a tracker into a new or empty folder; return how to look at it, and the runs' warnings.

    Raises
    ------
    BenchError
        If the tracker's package is not installed, the folder holds something, or there is nothing to export.
    """
    loaded = load(folders)
    found = tracks(loaded)
    there = out.exists()
    try:
        filled = there and any(out.iterdir())
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"cannot write to {out}: {error.strerror}; choose another --out") from None
    if filled:
        raise BenchError(f"{out} is not empty, and an export would be mixed with what is there; choose another --out")
    try:
        return WRITERS[to](found, out), loaded.warnings
    except ImportError as error:
        if not there:
            out.rmdir()
        raise BenchError(
            f"{to} is not installed ({error.name or error}); `pip install 'retrieval-bench[export]'`"
        ) from None


def _tensorboard(found: Sequence[Track], out: Path) -> str:
    from torch.utils.tensorboard import SummaryWriter

    for track in found:
        with SummaryWriter(str(out / track.name)) as writer:
            writer.add_text("settings", _as_table(track.settings), walltime=track.seconds)
            for session, scores in track.curve:
                for name, value in scores.items():
                    writer.add_scalar(f"session/{name}", value, session, walltime=track.seconds)
            for name, value in track.final.items():
                writer.add_scalar(f"final/{name}", value, 0, walltime=track.seconds)
    return f"tensorboard --logdir {out}"


def _as_table(settings: Mapping[str, str]) -> str:
    rows = [f"| {key} | {value.replace('|', ' ')} |" for key, value in settings.items()]
    return "\n".join(["| setting | value |", "| --- | --- |", *rows])


def _mlflow(found: Sequence[Track], out: Path) -> str:
    with _environment(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true"):
        import alembic  # noqa: F401 - MLflow's database needs both, and names neither where they are missing
        import sqlalchemy  # noqa: F401
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = f"sqlite:///{(out / 'mlflow.db').resolve()}"
        # A new database comes with an empty experiment "Default". It becomes ours, so that there is no other; where its
        # artifacts would lie is settled with the database.
        SqlAlchemyStore(store, (out / "artifacts").resolve().as_uri())
        client = MlflowClient(tracking_uri=store)
        place = SqlAlchemyStore.DEFAULT_EXPERIMENT_ID
        client.rename_experiment(place, PROJECT)
        for track in found:
            at = int(1000 * track.seconds)
            run = client.create_run(place, run_name=track.name, start_time=at).info.run_id
            metrics = [Metric(f"session/{n}", v, at, s) for s, scores in track.curve for n, v in scores.items()]
            metrics += [Metric(f"final/{name}", value, at, 0) for name, value in track.final.items()]
            # A parameter holds at most 6,000 characters; a longer one is kept as a tag, which holds 8,000.
            params = [Param(k, v) for k, v in track.settings.items() if len(v) <= 6000]
            tags = [RunTag(k, v[:8000]) for k, v in track.settings.items() if len(v) > 6000]
            client.log_batch(run, metrics=metrics, params=params, tags=tags)
            client.set_terminated(run, end_time=at)
    return f"mlflow ui --backend-store-uri {store}"


def _wandb(found: Sequence[Track], out: Path) -> str:
    with _environment(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=str(out), WANDB_CONSOLE="off"):
        import wandb

        for track in found:
            run = wandb.init(
                project=PROJECT,
                name=track.name,
                group="/".join(track.name.split("/")[:-2]),
                config=dict(track.settings),
                dir=str(out),
                mode="offline",
                reinit="finish_previous",
            )
            for session, scores in track.curve:
                run.log({f"session/{name}": value for name, value in scores.items()}, step=session)
            run.summary.update({f"final/{name}": value for name, value in track.final.items()})
            run.finish()
    return f"wandb sync {out / 'wandb' / 'offline-run-*'}"


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables inside the block: these packages read them, and nothing else reaches them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


WRITERS: dict[str, Callable[[Sequence[Track], Path], str]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}
"""What each tracker's files are written by."""
