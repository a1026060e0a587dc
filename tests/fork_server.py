"""Commands in processes of their own that need not import torch again, which takes most of a short command's time.

One process imports what is installed beside the project and nothing of the project itself, and forks for each command.
The child gets the command's arguments, folder, environment and streams, and runs it and exits as ``python`` does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOADED = (
    "torch",
    "pandas",
    "pyarrow.compute",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.datasets",
    "seaborn",
    "pydantic",
    "click",
    "requests",
    "rich.table",
    "safetensors.torch",
    "tqdm",
    "yaml",
)


class ForkServer:
    """A process that waits for commands; started with the first of them."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self,
        arguments: Sequence[str],
        *,
        module: bool = False,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        timeout: float = 500,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script, or a module as by ``python -m``, with its arguments and return what it printed."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            command = list(map(str, arguments))
            order = {
                "arguments": command,
                "module": module,
                "cwd": str(cwd),
                "env": dict(os.environ if env is None else env),
                "streams": [os.devnull, str(out), str(err)],
            }
            pid = code = None
            try:
                self._order(order)
                pid = self._answer(timeout)
                code = None if pid is None else self._answer(timeout)
            finally:
                # Whatever ended the wait, an answer that is still to come belongs to no later order.
                if code is None:
                    self.close(pid)
            if code is None:
                raise subprocess.TimeoutExpired(command, timeout)
            return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())

    def _server(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # Without the folder of this file on the path, where `statistics` is a package of tests.
            command = [sys.executable, "-P", __file__]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return self._process

    def _order(self, order: Mapping[str, Any]) -> None:
        stdin = self._server().stdin
        assert stdin is not None
        left = (json.dumps(order) + "\n").encode()
        while left:
            left = left[stdin.write(left) :]

    def _answer(self, timeout: float) -> int | None:
        """Return the next number from the server; None if it takes too long."""
        stdout = self._server().stdout
        assert stdout is not None
        # Nothing is read ahead: what lay in a buffer here would never be ready there.
        ready, _, _ = select.select([stdout], [], [], timeout)
        return int(stdout.readline()) if ready else None

    def close(self, pid: int | None = None) -> None:
        """End the server, and a child that does not end."""
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def serve() -> dict[str, Any]:
    """Fork for each order and say how it ended; returns in the children, with their order."""
    for name in PRELOADED:
        # What is not installed is not wanted either.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    orders, answers = os.dup(0), os.dup(1)
    # A child that reads or prints before it has its own streams must not disturb the conversation.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    with os.fdopen(orders, "rb", buffering=0) as lines:
        for line in iter(lines.readline, b""):
            pid = os.fork()
            if not pid:
                os.close(answers)
                return dict(json.loads(line))
            os.write(answers, f"{pid}\n".encode())
            os.write(answers, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
    raise SystemExit


def become(order: Mapping[str, Any]) -> None:
    """Be the process of an order."""
    for number, path in enumerate(order["streams"]):
        stream = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    name = order["arguments"][0]
    first = order["cwd"] if order["module"] else str(Path(name).parent)
    more = [path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [first, *more, *(path for path in sys.path if path not in more)]
    sys.argv = list(order["arguments"])
    if order["module"]:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(name, run_name="__main__")


if __name__ == "__main__":
    become(serve())
