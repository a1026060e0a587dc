"""Processor seconds of one run by two versions of the harness, side by side.

    python -m tools.before_after OTHER --scenario S --methods A,B --data PACK [--set NAME=VALUE ...] [--repeat 3]

OTHER is the interpreter of a worktree in which the other version is installed. Both versions make the same run through
``bench.run``, by turns, each in a process of its own in a folder of its own, with one thread and without calibration;
other work on the machine does not count in processor time, but it takes turns to see the same of it. Settings must be
such that both understand; where a default differs, it is to be set. Prints a Markdown table: the medians, their ratio,
and for each method its processor seconds, if its version records them, and its accuracy in the last session.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from tools.arguments import positive

_CHILD = """
import inspect, json, sys, time
import bench
given = json.loads(sys.argv[1])
if "calibrate" in inspect.signature(bench.run).parameters:
    given["calibrate"] = False
frame = bench.run(**given)
frame = getattr(frame, "frame", frame)
told = {}
for name, rows in frame.groupby("method"):
    last = rows[rows["session"] == rows["session"].max()]
    seconds = rows["processor_seconds"].sum() if "processor_seconds" in rows else None
    told[name] = [100 * last["n_correct"].sum() / last["n_queries"].sum(), seconds]
print(json.dumps({"seconds": time.process_time(), "methods": told}))
"""
"""Run by either version; what it prints last is read."""


class NotMeasured(Exception):  # noqa: N818 - it is a finding about a version
    """A version that cannot make the run; says why on one line."""


def measured(python: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return the processor seconds of a run, start included, and what its methods did.

    Raises
    ------
    NotMeasured
        If there is no such interpreter, or the run failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-c", _CHILD, json.dumps({**given, "out": str(Path(folder) / "runs")})]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        except OSError as error:
            raise NotMeasured(f"{python}: {error.strerror}; name the interpreter of a worktree") from None
    if done.returncode:
        raise NotMeasured(f"{python}: {(done.stderr.strip().splitlines() or ['it ended without a reason'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> str:
    """Return the Markdown table of repeated runs of both versions."""
    rows = ["| | before | after | ratio | accuracy % before | after |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    old, new = (median(one["seconds"] for one in runs) for runs in (before, after))
    rows.append(f"| whole run, start included | {old:.1f} | {new:.1f} | {old / new:.2f} | | |")
    for name, (accuracy, _) in after[0]["methods"].items():
        old, new = (_seconds(runs, name) for runs in (before, after))
        known = old is not None and new is not None
        numbers = [f"{old:.1f}", f"{new:.1f}", f"{old / new:.2f}"] if known else ["", "", ""]
        earlier = before[0]["methods"].get(name)
        numbers += ["" if earlier is None else f"{earlier[0]:.1f}", f"{accuracy:.1f}"]
        rows.append(f"| {name} | {' | '.join(numbers)} |")
    return "\n".join(rows)


def _seconds(runs: list[dict[str, Any]], name: str) -> float | None:
    found = [one["methods"].get(name, (None, None))[1] for one in runs]
    return None if None in found else median(found)


def main(arguments: list[str]) -> None:
    """Read the command line, make the runs and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("--scenario", default="incremental")
    parser.add_argument("--methods", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--seeds", type=positive, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--repeat", type=positive, default=3)
    told = parser.parse_args(arguments)
    settings = [one.partition("=") for one in told.set]
    for name, equals, _ in settings:
        if not name or not equals:
            parser.error(f"argument --set: {name + equals!r} is no NAME=VALUE")
    given = {
        "scenario": told.scenario,
        "methods": told.methods.split(","),
        "data": str(told.data.resolve()),
        "seeds": told.seeds,
        "device": "cpu",
        "set": {name: yaml.safe_load(value) for name, _, value in settings},
    }
    before, after = [], []
    try:
        for _ in range(told.repeat):
            before.append(measured(told.other, given))
            after.append(measured(Path(sys.executable), given))
    except NotMeasured as reason:
        parser.error(str(reason))
    print(table(before, after))


if __name__ == "__main__":
    main(sys.argv[1:])
