"""All tests that are marked ``gpu``."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tools.gpu.section import Deadline, Row

_ROOT = Path(__file__).resolve().parents[2]
_LAST_WORDS = 20.0
"""Seconds that pytest has to tell what it has done when its time is over."""


def rows(device: str, deadline: Deadline, *, folder: Path = _ROOT / "tests") -> Iterator[Row]:
    """Yield the counts, and a row for each test that did not pass.

    A test that was skipped is told with its reason, but is a problem only if none passed: the tests decide for
    themselves what they need.
    """
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "tests.xml"
        command = [sys.executable, "-m", "pytest", str(folder), "-m", "gpu", f"--junitxml={told}"]
        command += ["--benchmark-disable", "-p", "no:cacheprovider", "-q", "--override-ini=junit_family=xunit2"]
        # What pytest says goes where errors go, since the rows are the output.
        with subprocess.Popen(command, cwd=_ROOT, stdout=sys.stderr) as process:
            done = _ended(process, deadline)
        late = "" if done else f"pytest was not done after {deadline.seconds:.0f} s; give more --minutes"
        if not told.is_file():
            yield Row({}, late or f"pytest ended with status {process.returncode} and told of no test")
            return
        cases = ElementTree.parse(told).getroot().findall(".//testcase")
        if late:
            # The test that was interrupted stands there as if it had passed.
            cases = cases[:-1]
    results = [(f"{case.get('classname')}::{case.get('name')}", *_result(case)) for case in cases]
    count = {kind: sum(found == kind for _, found, _ in results) for kind in ("passed", "failed", "skipped")}
    none = "" if count["passed"] else "no test passed"
    yield Row({"test": "all marked gpu", **count, "why": None}, late or none)
    for name, result, why in results:
        if result != "passed":
            problem = f"{name}: {why}" if result == "failed" else ""
            yield Row({"test": name, "passed": None, "failed": None, "skipped": None, "why": why}, problem)


def _ended(process: subprocess.Popen[bytes], deadline: Deadline) -> bool:
    """Wait for pytest; return whether it came to its end by itself."""
    try:
        process.wait(timeout=deadline.left)
    except subprocess.TimeoutExpired:
        # Interrupted, it still tells of the tests that it has run.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=_LAST_WORDS)
        except subprocess.TimeoutExpired:
            process.kill()
        return False
    return True


def _result(case: ElementTree.Element) -> tuple[str, str]:
    """Return ``passed``, ``failed`` or ``skipped``, and the first line of the reason."""
    for tag, result in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            return result, (found.get("message") or result).splitlines()[0]
    return "passed", ""
