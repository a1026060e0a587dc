"""Kills of every command that writes: nothing is lost, nothing is repeated, nothing is left behind.

    python -m tests.faults.kill --count 1000 [--seed 0] [--kind run]

A child is killed at a random moment of its processor time, or just before one of the calls by which files are written;
inside trainings, before a step of an optimiser. The same command then goes on in another child, until it is done, and
what it has made must be what an undisturbed one makes: all columns of the records but the unstable ones, all
predictions, all files of a pack and of a report, and no temporary file.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch

from bench.data.images import image_folder
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.import_features import Options, import_pack
from bench.data.manifest import MANIFEST, read_manifest
from bench.data.pack import open_pack
from bench.data.registry import resolve
from bench.learning.checkpoint import CheckpointWriter
from bench.reports.report import build
from bench.results.run_folder import read_predictions, read_records, runs_below
from bench.results.schema import UNSTABLE
from bench.runner.config import RunConfig
from bench.runner.loop import execute
from bench.runner.parallel.merge_shards import merge
from bench.runner.parallel.work_units import Shard
from bench.runner.plan import Run, plan
from bench.utils.hashing import file_digest
from tests import toy
from tests.statistics.runs import make_run
from tests.unit.pictures import lay_out

Work = Callable[[Path], object]
"""A command, which writes below a folder."""

_KILLS_IN_A_ROW = 12
"""How often a command is killed before it is left to end, unless it ends before."""

_WRITES = ((os, "replace"), (os, "fsync"), (os, "rename"), (Path, "replace"), (Path, "touch"), (Path, "write_bytes"))
"""The calls by which files are written, before which a child is killed."""


class Broken(AssertionError):  # noqa: N818 - it is a finding
    """What must not be: a result that is lost or changed, or a file that is left behind."""


@dataclass(frozen=True)
class Kind:
    """A command that is killed.

    Attributes
    ----------
    prepare : callable
        Writes what the command reads.
    work : callable
        The command.
    made : callable
        What it has made, as values that are equal or not; it reads what is finished at any time.
    at_steps : bool
        Whether it is killed before steps of optimisers as well.
    often : int
        How often it is chosen among the others.
    """

    prepare: Work
    work: Work
    made: Callable[[Path], Mapping[str, object]]
    at_steps: bool = False
    often: int = 1


_SHORT = {
    "icarl": {"icarl.epochs": 3, "icarl.min_steps": 3},
    "mml": {"mml.epochs": 3, "mml.adapt_epochs": 2, "mml.k": 3},
}
_DATA = toy.dataset(8)


def _planned(folder: Path, methods: str = "protonet,icarl,mml", seeds: int = 2, **more: Any) -> Run:
    settings = {key: value for name, part in _SHORT.items() if name in methods for key, value in part.items()}
    options = {"scenario": "incremental", "methods": methods, "seeds": seeds, "out": folder / "runs", "set": settings}
    return plan(RunConfig(data=_DATA, device="cpu", progress=False, **(options | more)))


def _trained(folder: Path) -> Run:
    return _planned(folder, scenario="web-zero-shot", methods="mml", save_states=True)


def _of_runs(folder: Path) -> dict[str, object]:
    made: dict[str, object] = {}
    for run in runs_below(folder / "runs"):
        for cell, part in read_records(run).groupby("cell"):
            rows = part.sort_values("session").drop(columns=list(UNSTABLE))
            made[f"record {cell}"] = rows.astype("str").to_csv(index=False)
        for cell, part in read_predictions(run).groupby("cell"):
            made[f"predictions {cell}"] = part.sort_values(["session", "query"]).to_csv(index=False)
        for path in (run / "states").glob("*.safetensors"):
            made[f"state {path.name}"] = file_digest(path)
    return made


def _files(place: str) -> Callable[[Path], dict[str, object]]:
    def made(folder: Path) -> dict[str, object]:
        paths = (path for path in (folder / place).rglob("*") if path.is_file() and not path.name.endswith(".tmp"))
        return {str(path.relative_to(folder)): file_digest(path) for path in paths}

    return made


def _of_pack(folder: Path) -> dict[str, object]:
    """Return what a pack holds, which of its files its manifest does not name, and that what is there can be opened."""
    if not (folder / "out" / MANIFEST).exists():
        return {}
    pack = open_pack(folder / "out", resolve)
    manifest = read_manifest(folder / "out")
    parts = [*manifest["splits"].values(), *(manifest[name] for name in ("prompts", "texts") if manifest.get(name))]
    there = {path.name for path in (folder / "out").glob("*.safetensors")}
    return {"features": pack.fingerprint, "not named": there - {part["file"] for part in parts}}


def _arrays(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 8)).astype(np.float32), np.repeat(np.arange(4), 10)
    np.savez(folder / "birds.npz", train_x=x, train_y=y, test_x=x[::2], test_y=y[::2])
    (folder / "classes.txt").write_text("heron\nstork\ncrane\nibis\n")
    # A pack that is there already, of other features: a kill leaves it whole, or the new one.
    np.savez(folder / "old.npz", train_x=-x, train_y=y, test_x=-x[::2], test_y=y[::2])
    import_pack([folder / "old.npz"], folder / "classes.txt", folder / "out", Options(name="birds"))
    (folder / "old").write_text(str(open_pack(folder / "out", resolve).fingerprint))


def _import(folder: Path) -> None:
    import_pack([folder / "birds.npz"], folder / "classes.txt", folder / "out", Options(name="birds"))


def _images(folder: Path) -> None:
    names = ("one", "two")
    lay_out(
        folder / "images",
        {f"{split}/{c}/{n}.png": 10 * n for split in ("train", "test") for c in names for n in (1, 2)},
    )


def _encode(folder: Path) -> None:
    options = EncodeOptions(encoder="glyphs", name="numbers", device="cpu", templates="name")
    encode_pack(image_folder(folder / "images"), folder / "out", options, cache=None)


def _shards(folder: Path) -> None:
    run = _planned(folder, methods="knn,protonet", seeds=3)
    for number in (1, 2):
        execute(run.shard(Shard(number, 2)))
    (folder / "runs").rename(folder / "shards")


def _merge(folder: Path) -> None:
    merge([folder / "shards"], folder / "runs")


def _made_up(folder: Path) -> None:
    make_run(folder / "runs" / "one", {"good": 0.8, "bad": 0.6}, seeds=(0,), sessions=1)


def _report(folder: Path) -> None:
    build([folder / "runs"], folder / "out")


def _nothing(folder: Path) -> None:
    return


KINDS: Mapping[str, Kind] = {
    "run": Kind(_nothing, lambda folder: execute(_planned(folder)), _of_runs, at_steps=True, often=6),
    "training": Kind(_nothing, lambda folder: execute(_trained(folder)), _of_runs, at_steps=True, often=6),
    "import": Kind(_arrays, _import, _of_pack, often=6),
    "encode": Kind(_images, _encode, _of_pack),
    "merge": Kind(_shards, _merge, _of_runs, often=6),
    "report": Kind(_made_up, _report, _files("out")),
}
"""Commands that are killed in a process of their own."""


@dataclass(frozen=True)
class Harness:
    """Kills one kind of command in a folder of its own."""

    name: str
    folder: Path

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @cached_property
    def whole(self) -> tuple[Mapping[str, object], float, dict[str, int]]:
        """What an undisturbed command makes, its processor time, and how often it makes each of the calls."""
        place = self.folder / "whole"
        place.mkdir(parents=True)
        # What every run asks of the code is asked here, so that no child has to.
        _planned(place)
        _in_child(lambda: self.kind.prepare(place))
        counts = self.folder / "counts"
        before = time.process_time() + _of_children()
        _in_child(lambda: _counted(lambda: self.kind.work(place), counts))
        seconds = time.process_time() + _of_children() - before
        made = self.kind.made(place)
        if not made:
            raise Broken(f"{self.name} makes nothing")
        return made, seconds, {line.split()[0]: int(line.split()[1]) for line in counts.read_text().splitlines()}

    def round(self, rng: random.Random, most: int) -> int:
        """Kill a command again and again, let it end, and compare; return how many kills there were."""
        made, seconds, counts = self.whole
        place = self.folder / "killed"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        _in_child(lambda: self.kind.prepare(place))
        kills, before = 0, {}
        while kills < min(most, _KILLS_IN_A_ROW):
            if not _killed(lambda: self.kind.work(place), self._moment(rng, seconds, counts)):
                break
            kills += 1
            now = self._finished(place)
            old = (place / "old").read_text() if (place / "old").exists() else None
            if old is not None and now.get("features") not in (old, made["features"]):
                raise Broken(f"{self.name}: a kill left neither the old pack nor the new one")
            if self.name in ("run", "training", "merge"):
                lost = [key for key in before if before[key] != now.get(key)]
                if lost:
                    raise Broken(f"{self.name}: a kill lost or changed {lost[:3]}")
                before = now
        _in_child(lambda: _often(lambda: self.kind.work(place)))
        again = self.kind.made(place)
        differ = sorted(key for key in made.keys() | again.keys() if made.get(key) != again.get(key))
        if differ:
            raise Broken(f"{self.name}: after {kills} kills these are otherwise: {differ[:5]}")
        left = [
            path for path in place.rglob("*") if path.name.endswith(".tmp") or path.name in ("training", "unfinished")
        ]
        if left:
            raise Broken(f"{self.name}: left behind: {left[:5]}")
        return kills

    def _finished(self, place: Path) -> Mapping[str, object]:
        # Before its first record a run has a folder that says nothing.
        return self.kind.made(place) if (place / "runs").exists() or self.name in ("import", "encode") else {}

    def _moment(self, rng: random.Random, seconds: float, counts: dict[str, int]) -> tuple[str, float]:
        names = [name for name, count in counts.items() if count and (name != "step" or self.kind.at_steps)]
        choice = rng.choice(["moment", *names])
        if choice == "moment":
            return choice, rng.uniform(0.001, max(seconds, 0.01))
        return choice, rng.randrange(counts[choice])


def _of_children() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _in_child(work: Callable[[], object]) -> None:
    """Do something in a forked child, as a command does in a process of its own; a failure is one here."""
    if _killed(work, None):
        raise Broken("a command that nobody killed did not end")


def _killed(work: Callable[[], object], moment: tuple[str, float] | None) -> bool:
    """Do something in a forked child that is killed at a moment; return whether it was before it ended."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if moment is not None:
                _arm(*moment)
                work = _unchanged(work)
            work()
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise Broken("a command that should go on failed")
    return os.WIFSIGNALED(status)


def _unchanged(work: Callable[[], object]) -> Callable[[], object]:
    return lambda: _often(work)


def _often(work: Callable[[], object]) -> object:
    """Do something whose trainings leave a checkpoint after each epoch."""
    CheckpointWriter.due = property(lambda self: self._path is not None)  # type: ignore[assignment,method-assign]
    return work()


def _arm(what: str, when: float) -> None:
    """Have this process killed: after some processor time, or before a call of a kind."""
    if what == "moment":
        # The signal of this timer ends a process that does not care for it, as SIGKILL does.
        signal.setitimer(signal.ITIMER_PROF, when)
        return
    seen = [0]

    def before() -> None:
        if seen[0] == int(when):
            os.kill(os.getpid(), signal.SIGKILL)
        seen[0] += 1

    _watch(what, before)


def _watch(what: str, before: Callable[[], None]) -> None:
    """Call something before every call of a kind."""

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def first(*arguments: Any, **named: Any) -> Any:
            before()
            return call(*arguments, **named)

        return first

    if what == "step":
        for optimiser in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
            optimiser.step = watched(optimiser.step)  # type: ignore[method-assign]
        return
    for owner, name in _WRITES:
        if what == f"{owner.__name__}.{name}":
            setattr(owner, name, watched(getattr(owner, name)))


def _counted(work: Callable[[], object], counts: Path) -> None:
    """Do something and write how often it made each of the calls."""
    seen: Counter[str] = Counter()

    def counter(what: str) -> Callable[[], None]:
        return lambda: seen.update([what])

    kinds = [f"{owner.__name__}.{name}" for owner, name in _WRITES] + ["step"]
    for what in kinds:
        _watch(what, counter(what))
    _often(work)
    told = "".join(f"{what} {seen[what]}\n" for what in kinds)
    with open(counts, "w") as stream:
        stream.write(told)


# -- processes that work together ----------------------------------------------------------------------------------


def jobs_round(folder: Path, rng: random.Random, whom: str) -> int:
    """Kill the parent, one worker or all workers of ``bench run --jobs 2``, go on, and compare; return the kills."""
    words = [sys.executable, "-m", "bench", "run", "--methods", "protonet,mml", "--data", "digits", "--seeds", "6"]
    words += ["--quiet", "--device", "cpu", "--set", "mml.epochs=1", "--set", "mml.adapt_epochs=1"]
    serial = folder / "serial"
    if not serial.exists():
        serial.mkdir(parents=True)
        subprocess.run(words, cwd=serial, check=True, capture_output=True)
    place = folder / "parallel"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    # Files and not pipes: a worker that outlives its parent for a moment would hold a pipe open.
    with subprocess.Popen(
        [*words, "--jobs", "2"], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as parent:
        workers: list[psutil.Process] = []
        wanted = rng.randrange(6)
        while parent.poll() is None and (
            len(workers) < 2 or len(list(place.glob("runs/*/records/*.parquet"))) < wanted
        ):
            time.sleep(0.05)
            with suppress(psutil.Error):
                workers = psutil.Process(parent.pid).children()
        kills = 0
        chosen = workers if whom == "all workers" else workers[:1] if whom == "one worker" else []
        for process in chosen:
            with suppress(psutil.Error):
                process.kill()
                kills += 1
        if whom == "parent" and parent.poll() is None:
            parent.kill()
            kills += 1
        parent.wait()
        psutil.wait_procs(workers, timeout=60)
    subprocess.run(words, cwd=place, check=True, capture_output=True)
    a, b = _of_runs(serial), _of_runs(place)
    if a != b:
        raise Broken(f"{whom}: after a kill records are otherwise")
    left = list(place.rglob("*.tmp"))
    if left:
        raise Broken(f"{whom}: left behind: {left[:3]}")
    return kills


PROCESSES = ("parent", "one worker", "all workers")
_EVERY = 60
"""Of so many kills one is of processes that work together, since each takes a start of three processes."""


def rounds(count: int, seed: int, kinds: list[str], folder: Path) -> Iterator[tuple[str, int]]:
    """Yield kinds and numbers of kills until there are enough."""
    rng = random.Random(seed)
    harnesses = {name: Harness(name, folder / name) for name in kinds if name in KINDS}
    together = [name for name in kinds if name in PROCESSES]
    done = turn = 0
    while done < count:
        if together and (not harnesses or done >= _EVERY * (turn + 1)):
            name = together[turn % len(together)]
            turn += 1
            kills = jobs_round(folder / "together", rng, name)
        else:
            name = rng.choices(list(harnesses), [KINDS[one].often for one in harnesses])[0]
            kills = harnesses[name].round(rng, count - done)
        done += kills
        yield name, kills


def main() -> None:
    """Kill so many times and say what of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=[*KINDS, *PROCESSES], action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pd.set_option("display.width", 200)
    kills: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="bench-killed-") as scratch:
        try:
            for name, number in rounds(given.count, given.seed, given.kind or [*KINDS, *PROCESSES], Path(scratch)):
                kills[name] += number
                print(f"{sum(kills.values())} of {given.count}", file=sys.stderr, flush=True)
        except Broken as broken:
            print(f"after {sum(kills.values())} kills: {broken}")
            sys.exit(1)
    told = ", ".join(f"{number} of {name}" for name, number in sorted(kills.items()))
    print(f"{sum(kills.values())} kills ({told}): nothing lost, nothing changed, nothing left behind")


if __name__ == "__main__":
    main()
