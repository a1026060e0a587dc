"""A worker process of ``bench run --jobs``: it reads work from standard input, runs it, and reports on standard output.

The first line is the job, each further one a work unit; what happens is said on standard output, a JSON list a line.
What every run needs is imported before there is a job, since the process that gives it may still be planning.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, TextIO

from bench.utils.errors import BenchError
from bench.utils.importing import large_imports


def main(source: TextIO = sys.stdin) -> None:
    """Serve until standard input ends, that is, until the process that started this one is done or gone."""
    # Standard output belongs to the protocol; what methods print goes to standard error.
    said = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(*event: Any) -> None:
        said.write(json.dumps(event) + "\n")

    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(source, lines), daemon=True).start()
    try:
        _serve(lines, say)
    except BenchError as error:
        say("refused", str(error))
    except Exception:
        say("broken", traceback.format_exc())


def _listen(source: TextIO, lines: queue.Queue[str]) -> None:
    for line in source:
        lines.put(line)
    # Nobody is there to give work or to hear of it: a cell that is half done is not written.
    os._exit(0)


def _serve(lines: queue.Queue[str], say: Any) -> None:

    with large_imports():
        from bench.cost.kept import Kept
        from bench.results.run_folder import Store
        from bench.runner.events import Finished
        from bench.runner.loop import perform, provenance_of
        from bench.runner.parallel.job_spec import JobSpec
        from bench.runner.parallel.work_units import WorkUnit

    job, folder, environment = json.loads(lines.get())
    # torch looks for GPUs when it is first asked for one, so that it is early enough to say here which it may see.
    os.environ |= environment
    spec = JobSpec.from_json(job)
    run, store = spec.plan(Path(folder)), Store(Path(folder))
    provenance = provenance_of(run, spec.command)
    kept: Kept[Any] = Kept()
    say("ready")
    while True:
        episode, cells = json.loads(lines.get())
        for event in perform(run, WorkUnit(episode, cells), provenance, kept):
            if isinstance(event, Finished):
                assert event.files is not None
                store.put(event.cell, event.files)
                say("finished", event.cell, dataclasses.asdict(event.summary))
            else:
                say("began", event.cell, event.what)
        say("done")


if __name__ == "__main__":
    main()
