"""The description of a run for another process: names and plain values, from which it plans the same run."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.runner.config import RunConfig
from bench.runner.plan import Run, plan
from bench.utils.errors import BenchError


@dataclass(frozen=True)
class JobSpec:
    """A run as plain values.

    Attributes
    ----------
    config : mapping
        The options, from which :class:`bench.runner.config.RunConfig` is made again.
    run : str
        The identity of the run that must come of it.
    command : list of str
        The arguments of the command, for the provenance.
    threads : int
        Threads a worker computes with.
    """

    config: Mapping[str, Any]
    run: str
    command: list[str]
    threads: int

    def to_json(self) -> str:
        """Return the job on one line."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> JobSpec:
        """Return the job of :meth:`to_json`."""
        return JobSpec(**json.loads(text))

    def plan(self, folder: Path) -> Run:
        """Return the run, to be computed in a folder.

        Raises
        ------
        BenchError
            If code or data of this process differ from those of the process that made the job.
        """
        import torch

        torch.set_num_threads(self.threads)
        run = plan(RunConfig(**self.config))
        if run.name != self.run:
            raise BenchError(
                "a worker finds other code or other data than the process that started it; install the same version "
                "and the same packs everywhere, and change neither while a run goes on"
            )
        return replace(run, folder=folder)


def job_spec(run: Run, command: list[str] | None, threads: int) -> JobSpec:
    """Return what a worker needs to plan a run.

    Methods, scenarios and data sets travel by name or path, never as objects: a worker reads the code and maps the
    packs itself, so that the system holds each file once a machine, and the run's identity, a hash of code, data and
    settings, proves that it has the same.

    Raises
    ------
    BenchError
        If a method, a scenario, a data set or a value is an object of this process.
    """
    config = run.config
    for key, value in config.set.items():
        if not _plain(value):
            raise BenchError(
                f"{key}={value!r} cannot be sent to a worker; give numbers, words and lists of them, or use jobs=1"
            )
    named = {
        "scenario": tuple(_name("scenario", one) for one in config.scenario),
        "methods": tuple(_name("method", one) for one in config.methods),
        "data": tuple(_place(one) for one in config.data),
        "device": run.device,
        "load": config.load.resolve() if config.load else None,
    }
    plain = config.model_copy(update=named).model_dump(mode="json")
    return JobSpec(plain, run.name, sys.argv[1:] if command is None else command, threads)


def _plain(value: Any) -> bool:
    """Return whether a value comes back from JSON as it was; a tuple comes back as a list, which is a sweep."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except TypeError:
        return False


def _name(kind: str, wanted: Any) -> str:
    if isinstance(wanted, str):
        return wanted
    what = wanted.__name__ if isinstance(wanted, type) else type(wanted).__name__
    raise BenchError(
        f"{kind} {what} is an object of this process and cannot be sent to a worker; put it in a module that an entry "
        "point names and give its name, or use jobs=1"
    )


def _place(wanted: Any) -> str:
    if not isinstance(wanted, (str, os.PathLike)):
        raise BenchError(
            f"data set {wanted.name} is an object of this process and cannot be sent to a worker; write it as a "
            "feature pack and give the pack's path, or use jobs=1"
        )
    # A worker on another machine starts in another folder.
    return str(Path(wanted).resolve()) if Path(wanted).exists() else str(wanted)
