"""axe, which finds what hinders people who use a page by keys, by ear or with poor sight."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@cache
def _source() -> str | None:
    """Return axe: what BENCH_AXE names, that of npm beside the checkout, or that of the package axe-core-python."""
    places = [Path(os.environ["BENCH_AXE"])] if "BENCH_AXE" in os.environ else [_HERE]
    spec = find_spec("axe_core_python")
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parent / "axe.min.js")
    return next((place.read_text(encoding="utf-8") for place in places if place.is_file()), None)


def serious(browser: Any) -> list[str]:
    """Return a line for each serious or critical finding on the page that is open; skips where there is no axe."""
    source = _source()
    if source is None:
        pytest.skip("no axe; pip install axe-core-python, or npm install axe-core")
    # The page's policy keeps scripts out; what a driver runs does not ask it.
    browser.execute_script(source)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then("
        "(r) => done({engine: r.testEngine.version, passes: r.passes.length, violations: r.violations}),"
        "(e) => done({error: String(e)}));"
    )
    assert found.get("passes", 0) > 10, found
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]}: {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
