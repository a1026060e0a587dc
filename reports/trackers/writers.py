"""What writes the files of each tracker; the trackers' packages are imported when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.reports.trackers.tracks import Track

PROJECT = "retrieval-bench"
"""What the project is called in a tracker."""


def _tensorboard(tracks: Sequence[Track], out: Path, final: Path) -> str:
    from torch.utils.tensorboard import SummaryWriter

    for track in tracks:
        with SummaryWriter(str(out / track.name)) as writer:
            writer.add_text("settings", _as_table(track.settings), walltime=track.seconds)
            for session, scores in track.curve:
                for name, value in scores.items():
                    writer.add_scalar(f"session/{name}", value, session, walltime=track.seconds)
            for name, value in track.final.items():
                writer.add_scalar(f"final/{name}", value, 0, walltime=track.seconds)
    return f"tensorboard --logdir {final}"


def _as_table(settings: Mapping[str, str]) -> str:
    rows = [f"| {key} | {value.replace('|', ' ')} |" for key, value in settings.items()]
    return "\n".join(["| setting | value |", "| --- | --- |", *rows])


def _mlflow(tracks: Sequence[Track], out: Path, final: Path) -> str:
    # A connection that is kept would hold a database that was removed, after an export that failed.
    pool = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}
    with _environment(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", **pool):
        import alembic  # noqa: F401 - MLflow's database needs both, and names neither where they are missing
        import sqlalchemy  # noqa: F401
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = f"sqlite:///{(out / 'mlflow.db').resolve()}"
        # A new database comes with an empty experiment "Default". It becomes ours, so that there is no other; where its
        # artifacts would lie is settled with the database.
        SqlAlchemyStore(store, (final / "artifacts").resolve().as_uri())
        client = MlflowClient(tracking_uri=store)
        place = SqlAlchemyStore.DEFAULT_EXPERIMENT_ID
        client.rename_experiment(place, PROJECT)
        for track in tracks:
            at = int(1000 * track.seconds)
            run = client.create_run(place, run_name=track.name, start_time=at).info.run_id
            metrics = [Metric(f"session/{n}", v, at, s) for s, scores in track.curve for n, v in scores.items()]
            metrics += [Metric(f"final/{name}", value, at, 0) for name, value in track.final.items()]
            # A parameter holds at most 6,000 characters; a longer one is kept as a tag, which holds 8,000.
            params = [Param(k, v) for k, v in track.settings.items() if len(v) <= 6000]
            tags = [RunTag(k, v[:8000]) for k, v in track.settings.items() if len(v) > 6000]
            client.log_batch(run, metrics=metrics, params=params, tags=tags)
            client.set_terminated(run, end_time=at)
    return f"mlflow ui --backend-store-uri sqlite:///{(final / 'mlflow.db').resolve()}"


def _wandb(tracks: Sequence[Track], out: Path, final: Path) -> str:
    with _environment(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=str(out), WANDB_CONSOLE="off"):
        import wandb

        for track in tracks:
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
    return f"wandb sync {final / 'wandb' / 'offline-run-*'}"


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


WRITERS: dict[str, Callable[[Sequence[Track], Path, Path], str]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}
"""What each tracker's files are written by: into one folder, which will be put at another."""
