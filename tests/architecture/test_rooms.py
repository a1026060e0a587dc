"""The package keeps its floor plan: named rooms, imports one way, no circle of files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.imports import ROOT, circles, imports, modules

ROOMS = (
    "utils",
    "device",
    "cost",
    "device",
    "functional",
    "cache",
    "results",
    "search",
    "core",
    "encoders",
    "learning",
    "data",
    "sampling",
    "runner",
    "explain",
    "methods",
    "scenarios",
    "reports",
    "classifier",
    "perf",
    "racing",
    "migration",
    "serving",
    "view",
    "sharing",
    "notebook",
    "cli",
)
"""From the ground up: a room imports itself and those before it."""

OPEN_TO_METHODS = {
    "methods",
    "utils",
    "device",
    "core",
    "functional",
    "learning",
    "search",
    "sampling",
    "cost",
    "encoders",
}
"""What a method or a scenario may build on."""

FILES = modules()
IMPORTS = imports(FILES)


def room(module: str) -> str:
    """Return the room of a module; the root for those directly in ``bench``."""
    parts = module.split(".")
    if len(parts) == 1 or (len(parts) == 2 and FILES[module].name != "__init__.py"):
        return "root"
    return parts[1]


def test_every_folder_is_a_room_and_the_root_holds_at_most_four_modules() -> None:
    assert {room(name) for name in FILES} == {*ROOMS, "root"}
    assert sum(room(name) == "root" for name in FILES) <= 4


def test_imports_name_modules_that_exist() -> None:
    assert not [f"{i.source}:{i.line} imports {i.target}" for i in IMPORTS if i.target not in FILES]


def test_rooms_import_only_what_lies_below_them() -> None:
    wrong = []
    for found in IMPORTS:
        source, target = room(found.source), room(found.target)
        if "root" in (source, target) or source == target:
            continue
        if ROOMS.index(target) > ROOMS.index(source):
            wrong.append(f"{found.source}:{found.line} ({source}) imports {found.target} ({target})")
    assert not wrong


def test_no_files_import_one_another_in_a_circle() -> None:
    edges: dict[str, set[str]] = {name: set() for name in FILES}
    for found in IMPORTS:
        edges[found.source].add(found.target)
    assert circles(edges) == []


@pytest.mark.parametrize("folder", ["methods", "scenarios"])
def test_methods_and_scenarios_know_nothing_of_the_runner(folder: str) -> None:
    others = {room(i.target) for i in IMPORTS if room(i.source) == folder} - {folder, "root"}
    assert others <= OPEN_TO_METHODS - {"methods"}
    # One thing a file: none leans on another of its kind.
    assert not [f"{i.source} imports {i.target}" for i in IMPORTS if room(i.source) == room(i.target) == folder]


def test_reports_never_import_torch() -> None:
    for name, path in FILES.items():
        if room(name) == "reports":
            # A tracker's own writer may need torch, which is then imported by it alone.
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not [n for n in named if n.split(".")[0] == "torch"], name


def test_few_imports_of_our_own_hide_inside_functions() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES.values())
    hidden = [i for i in IMPORTS if i.inside_function]
    assert len(hidden) <= 1.5 * lines / 1000, [f"{i.source}:{i.line} -> {i.target}" for i in hidden]


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("folder", ["methods", "scenarios", "reports"])
def test_a_folder_beside_the_package_is_not_a_second_copy_of_its_modules(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "import it under that name" in done.stderr
    assert Path(ROOT / "bench" / folder).resolve() == ROOT / folder
