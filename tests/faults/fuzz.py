"""Inputs that are changed with an eye on which lines of the readers they reach; needs ``pip install atheris``.

    python -m tests.faults.fuzz --seconds 20 [--reader manifest]

Each reader runs in a process of its own under libFuzzer, which keeps the inputs that reach lines of this package that
none before has reached, and changes those further. What must come of each is what :mod:`tests.faults.mutate` asks:
what was written or one line, in ten seconds and 2 GiB. An input that ends otherwise is kept, and its place is said.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_MEGABYTES = 4096
"""Of memory: 2 GiB, beside what the libraries take."""


def target(name: str, folder: Path) -> Callable[[bytes], None]:
    """Return what reads one input: its first byte says which of the reader's files the rest is.

    Raises what must not be: anything but a :class:`bench.utils.errors.BenchError` of one line.
    """
    reader = import_module("tests.faults.readers").READERS[name]
    refused = import_module("bench.utils.errors").BenchError
    template, place = folder / "template", folder / "given"
    template.mkdir(parents=True)
    reader.make(template)
    files = _files(name, template)
    shutil.copytree(template, place)
    good = reader.read(place)

    def read(data: bytes) -> None:
        # Some readers put right a hash beside what they read.
        shutil.rmtree(place)
        shutil.copytree(template, place)
        if data:
            (place / files[data[0] % len(files)]).write_bytes(data[1:])
        try:
            found = reader.read(place)
        except refused as error:
            if "\n" in str(error).strip():
                raise AssertionError(f"a message of several lines: {error!r}") from error
        else:
            if reader.sealed and found != good:
                raise AssertionError("something else was read")

    return read


def _files(name: str, folder: Path) -> list[Path]:
    reader = import_module("tests.faults.readers").READERS[name]
    found = {path for pattern in reader.mutated for path in folder.glob(pattern)}
    return sorted(path.relative_to(folder) for path in found)


def corpus(name: str, folder: Path, to: Path) -> None:
    """Write the good inputs of a reader as what its target reads."""
    to.mkdir()
    for number, path in enumerate(_files(name, folder)):
        (to / str(number)).write_bytes(bytes([number]) + (folder / path).read_bytes())


def _one(name: str, seconds: int, folder: Path) -> None:
    """Fuzz one reader in this process, which libFuzzer ends."""
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["bench"]):
        read = target(name, folder)
    corpus(name, folder / "template", folder / "corpus")
    words = [f"-max_total_time={seconds}", "-timeout=10", f"-rss_limit_mb={_MEGABYTES}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *words, f"-artifact_prefix={folder}/", str(folder / "corpus")], read)
    atheris.Fuzz()


def main() -> None:
    """Fuzz each reader for so many seconds and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="Of each reader.")
    parser.add_argument("--reader", action="append")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if find_spec("atheris") is None:
        sys.exit("this needs atheris; pip install atheris")
    if given.here is not None:
        _one(given.reader[0], given.seconds, given.here)
        return
    failures = 0
    for name in given.reader or import_module("tests.faults.readers").READERS:
        folder = Path(tempfile.mkdtemp(prefix="bench-fuzzed-"))
        words = ["--reader", name, "--seconds", str(given.seconds), "--here", str(folder)]
        command = [sys.executable, "-m", "tests.faults.fuzz", *words]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        inputs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
        print(f"{name}: {inputs[1] if inputs else 'no'} inputs, status {done.returncode}", flush=True)
        if done.returncode:
            failures += 1
            print(f"{done.stderr[-3000:]}\nkept in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
