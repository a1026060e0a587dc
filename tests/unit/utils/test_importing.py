"""Garbage is not looked for while what is large is imported."""

from __future__ import annotations

import subprocess
import sys

HEAD = "import gc, sys, types\nfrom bench.utils.importing import large_imports\n"


def run(code: str) -> None:
    """Run code in a process of its own, since what is frozen here stays so for all tests."""
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True)
    assert not done.returncode, done.stderr


def test_the_collector_rests_and_goes_on_even_after_an_error() -> None:
    run(
        "try:\n    with large_imports():\n        assert not gc.isenabled()\n        raise ImportError\n"
        "except ImportError:\n    pass\n"
        "assert gc.isenabled() and gc.get_freeze_count()\n"
    )


def test_a_library_leaves_what_was_there_to_the_collector() -> None:
    run("with large_imports(forget=False):\n    pass\nassert gc.isenabled() and not gc.get_freeze_count()\n")


def test_a_collector_that_was_off_stays_off() -> None:
    run("gc.disable()\nwith large_imports():\n    pass\nassert not gc.isenabled()\n")


def test_what_says_that_it_leaks_is_not_frozen() -> None:
    run(
        "sys.modules['triton'] = types.ModuleType('triton')\n"
        "with large_imports():\n    pass\nassert not gc.get_freeze_count()\n"
    )
