"""What runs the commands of other tests: an answer belongs to its order, however the wait for it ended."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fork_server import ForkServer


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


def script(folder: Path, text: str) -> list[str]:
    (folder / "script.py").write_text(text)
    return [str(folder / "script.py")]


def test_many_short_commands_are_answered_each(server: ForkServer, tmp_path: Path) -> None:
    command = script(tmp_path, "import os, sys; print(sys.argv[1], flush=True); os._exit(int(sys.argv[1]))")
    for number in range(20):
        done = server.run([*command, str(number)], cwd=tmp_path, timeout=60)
        assert (done.returncode, done.stdout) == (number, f"{number}\n")


def test_a_command_that_takes_too_long_does_not_answer_for_the_next(server: ForkServer, tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        server.run(script(tmp_path, "import time; time.sleep(600)"), cwd=tmp_path, timeout=1)
    assert server.run(script(tmp_path, "print(1)"), cwd=tmp_path).stdout == "1\n"


def test_a_wait_that_is_interrupted_does_not_answer_for_the_next(server: ForkServer, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError("as by a limit on a test")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(InterruptedError):
            server.run(script(tmp_path, "import time; time.sleep(600)"), cwd=tmp_path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert server.run(script(tmp_path, "print(2)"), cwd=tmp_path).stdout == "2\n"
