"""The imports between the modules of the package, read from their source and never by running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ("methods", "scenarios", "reports")
"""Packages of ``bench`` whose folders lie beside it."""


@dataclass(frozen=True)
class Import:
    """One module imports another: dotted names, and the line where it does."""

    source: str
    target: str
    line: int
    inside_function: bool


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return the file of every module of the package, by dotted name."""
    found = {}
    for folder in ("bench", *BESIDE):
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if parts[0] == "bench" and parts[1] in BESIDE:
                # What a link shows a second time.
                continue
            name = ".".join(parts if folder == "bench" else ("bench", *parts)).removesuffix(".__init__")
            found[name] = path
    return found


def imports(files: Mapping[str, Path]) -> list[Import]:
    """Return every import of one of the modules by another, those inside functions and for type checkers included."""
    found = []
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node, inside in _statements(tree, inside_function=False):
            for target in _targets(node, files):
                if target != name:
                    found.append(Import(name, target, node.lineno, inside))
    return found


def _statements(node: ast.AST, *, inside_function: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, inside_function
        else:
            deeper = inside_function or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from _statements(child, inside_function=deeper)


def _targets(node: ast.Import | ast.ImportFrom, files: Mapping[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "bench")
        return
    module = node.module or ""
    if module.split(".")[0] != "bench":
        return
    for alias in node.names:
        whole = f"{module}.{alias.name}"
        yield whole if whole in files else module


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that reach one another, each sorted."""
    order: list[str] = []
    seen: set[str] = set()
    for start in sorted(edges):
        _visit(start, edges, seen, order)
    backwards: dict[str, set[str]] = {name: set() for name in edges}
    for source, targets in edges.items():
        for target in targets:
            backwards.setdefault(target, set()).add(source)
    groups, placed = [], set[str]()
    for name in reversed(order):
        group: list[str] = []
        _visit(name, backwards, placed, group)
        if len(group) > 1:
            groups.append(sorted(group))
    return groups


def _visit(start: str, edges: Mapping[str, set[str]], seen: set[str], order: list[str]) -> None:
    """Append what can be reached from a module and was not seen, each after all that it reaches."""
    if start in seen:
        return
    seen.add(start)
    stack = [(start, iter(sorted(edges.get(start, ()))))]
    while stack:
        name, targets = stack[-1]
        for target in targets:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(sorted(edges.get(target, ())))))
                break
        else:
            stack.pop()
            order.append(name)
