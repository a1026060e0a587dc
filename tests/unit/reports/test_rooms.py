"""The rooms of the reports: few modules at the root, imports one way, no circle of files, no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from bench import reports

ROOT = Path(reports.__file__).parent
PACKAGE = reports.__name__

ROOMS = (
    "utils",
    "tables",
    "records",
    "forms",
    "metrics",
    "statistics",
    "published",
    "analysis",
    "paper",
    "choosing",
    "figures",
    "sections",
    "page",
    "report",
    "trackers",
    "verify",
)
"""From the ground up: each imports only those before it."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([PACKAGE, *parts]).removesuffix(".__init__")


MODULES = {module_name(path): path for path in ROOT.rglob("*.py")}


def imports(path: Path) -> set[str]:
    """Return the modules of the reports that a file imports anywhere: in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in found & set(MODULES) if name != PACKAGE}


GRAPH = {name: {other for other in imports(path) if other != name} for name, path in MODULES.items()}


def room_of(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.").split(".")[0]


def test_few_modules_stand_at_the_root() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == {"__init__", "analysis", "report", "verify"}


def test_every_module_is_in_a_room() -> None:
    assert {room_of(name) for name in MODULES if name != PACKAGE} == set(ROOMS)


def test_files_have_no_circle() -> None:
    assert len(list(TopologicalSorter(GRAPH).static_order())) == len(GRAPH)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_those_below_it(room: str) -> None:
    allowed = ROOMS[: ROOMS.index(room) + 1]
    upwards = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if name != PACKAGE and room_of(name) == room and room_of(other) not in allowed
    ]
    assert not upwards


def test_every_name_imported_from_a_room_is_a_module_that_is_there() -> None:
    # A name that the graph does not know would be an arrow that it does not see.
    asked = {
        node.module
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.split(".")[0]
    }
    assert {name for name in asked if name.startswith(f"{PACKAGE}.")} <= set(MODULES)


def test_numbers_are_there_without_torch_and_without_drawing() -> None:
    code = (
        f"import sys, {PACKAGE}.verify, {PACKAGE}.trackers.export; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'faiss', 'matplotlib', 'seaborn'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
