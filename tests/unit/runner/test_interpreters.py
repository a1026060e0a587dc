"""Workers that are forked from the command, in a process of their own that has no other threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

ASK = """
import json, os, signal
from bench.runner.parallel import interpreters, worker
with interpreters.waiting(2) as ready:
    started = len(ready)
    interpreters.fork(ready, 2, worker.main)
    one, other = list(ready)[:2] if ready else (None, None)
    said = []
    if isinstance(one, interpreters.Forked):
        one.stdin.write("no job\\n")
        said.append(json.loads(one.stdout.readline())[0])
        said.append(one.wait())
        other.kill()
        said += [other.stdout.readline(), other.wait(), other.wait()]
print(json.dumps([started, len(ready), said]))
"""


def asked(**environment: str) -> list[object]:
    """Return how many were started, how many wait in all, and what forked ones said."""
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere none is forked")
def test_with_a_thread_each_workers_are_forked_speak_and_end() -> None:
    started, there, said = asked(OMP_NUM_THREADS="1")
    assert started == 0
    assert there == min(2, len(os.sched_getaffinity(0)))
    if there == 2:
        # What cannot be read is told with its traceback; what is killed says nothing more.
        assert said == ["broken", 0, "", -9, -9]


def test_with_several_threads_they_are_fresh_interpreters() -> None:
    started, there, said = asked(OMP_NUM_THREADS="2")
    assert started == there == min(2, os.cpu_count() or 1)
    assert said == []
