"""Runs one section in a process of its own: ``python -m tools.gpu.alone SECTION DEVICE SECONDS FILE``.

An error on a card can leave the process unable to use it, a kernel may never end, and what one section allocated would
be in the peaks of the next. So each has its own process, which is ended when its time is over; the rows it wrote until
then stay.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from bench.cost import peak_memory
from tools.gpu.running import Failed, reason_of
from tools.gpu.section import Deadline, Row, Section

_ROOT = Path(__file__).resolve().parents[2]
_OWN = 0.9
"""Part of its time after which a section begins nothing new, so that it is seldom ended from outside."""


def perform_alone(section: Section, device: str, seconds: float, keep: Callable[[Row], None]) -> float | None:
    """Run a section in a process of its own; see :data:`tools.gpu.running.Perform`."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "rows"
        told.touch()
        command = [sys.executable, "-m", "tools.gpu.alone", section.name, device, str(seconds), str(told)]
        # Its own group, so that what it has started ends with it.
        with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                status = process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                status = None
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return _read(told.read_text(encoding="utf-8"), status, seconds, keep)


def _read(told: str, status: int | None, seconds: float, keep: Callable[[Row], None]) -> float | None:
    """Hand on the rows that a process wrote, and return its joules or say why it did not come to its end."""
    # The last line is whole only if it has its end.
    for line in told.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        found = json.loads(line)
        if "cells" in found:
            keep(Row(found["cells"], found["problem"]))
        elif "failed" in found:
            raise Failed(found["failed"])
        else:
            joules: float | None = found["joules"]
            return joules
    if status is None:
        raise Failed(f"ended after its {seconds:.0f} s, before its last row; give more --minutes")
    raise Failed(f"its process ended with status {status}; what it said stands above")


def main(arguments: list[str]) -> int:
    """Run a section and write its rows to a file, one JSON object a line, each as it is there."""
    from tools.gpu.sections import SECTIONS

    name, device, seconds, file = arguments
    (section,) = (one for one in SECTIONS if one.name == name)
    with Path(file).open("a", encoding="utf-8") as stream:

        def write(found: dict[str, object]) -> None:
            stream.write(json.dumps(found) + "\n")
            stream.flush()

        try:
            if device != "cpu":
                torch.cuda.init()
            before = peak_memory.gpu_joules()
            # Loading torch has taken some of the time.
            spent = time.time() - psutil.Process().create_time()
            for row in section.rows(device, Deadline(float(seconds) * _OWN - spent)):
                write({"cells": dict(row.cells), "problem": row.problem})
            after = peak_memory.gpu_joules()
        except Exception as error:
            traceback.print_exc()
            write({"failed": reason_of(error)})
            return 1
        write({"joules": None if before is None or after is None else after - before})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
