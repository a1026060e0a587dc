"""What modules register, read from their source: nothing is imported, so nothing waits for torch.

A module registers a class or function by a decorator whose first argument is the name: ``@method("knn", ...)``. What
the decorator is given, the docstring's first line, the parameters with their defaults and the functions of a class are
there to be read, as long as they are written down as plain values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.utils.errors import BenchError, one_line

_METHOD = re.compile(r"    (?:async )?def (\w+)\(")


@dataclass(frozen=True)
class Declared:
    """One registered name.

    Attributes
    ----------
    name : str
        The name that the decorator is given.
    module : str
        The module that registers it, dotted.
    target : str
        The class or function in it.
    summary : str
        First line of its docstring.
    options : mapping
        What else the decorator is given, by keyword.
    parameters : mapping
        Parameters of a dataclass with their defaults, in order of declaration.
    functions : frozenset of str
        What a class can do, inherited functions included.
    complete : bool
        Whether all of this is written as plain values; what is not is left out.
    """

    name: str
    module: str
    target: str
    summary: str
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()
    complete: bool = True


def modules(package: str, decorator: str) -> dict[str, Path]:
    """Return the files below a package in which a decorator is called, by their module's dotted name."""
    spec = find_spec(package)
    found = {}
    for place in map(Path, spec.submodule_search_locations or () if spec is not None else ()):
        for path in sorted(place.rglob("*.py")):
            if f"@{decorator}(" in path.read_text(encoding="utf-8"):
                parts = path.relative_to(place).with_suffix("").parts
                found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


@cache
def declared(package: str, decorator: str) -> tuple[Declared, ...]:
    """Return what the modules below a package register by a decorator, in the order of their files.

    Raises
    ------
    BenchError
        If one of them is not Python.
    """
    found: list[Declared] = []
    for module, path in modules(package, decorator).items():
        for node in _parsed(path).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                for call in node.decorator_list:
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == decorator:
                        found += _declared(node, call, module)
    return tuple(found)


@cache
def _parsed(path: Path) -> ast.Module:
    text = path.read_text(encoding="utf-8")
    try:
        return ast.parse(_without_bodies(text), str(path))
    except (SyntaxError, ValueError):
        pass
    try:
        return ast.parse(text, str(path))
    except (SyntaxError, ValueError) as error:
        raise BenchError(f"{path} is not Python: {one_line(error)}; mend or remove it") from None


def _without_bodies(text: str) -> str:
    """Return a module with ``def NAME(): ...`` for each function of a class; parsing bodies takes most of the time.

    What is indented by no more than a method ends its body. A text in it that is indented less is no harm, or makes
    what is left no Python, and the whole is parsed.
    """
    kept, within = [], False
    for line in text.splitlines():
        if within and (line.startswith(("        ", "    )", "    ]")) or not line.strip()):
            continue
        found = _METHOD.match(line)
        within = found is not None
        kept.append(f"    def {found[1]}(): ..." if found is not None else line)
    return "\n".join(kept)


def _declared(node: ast.ClassDef | ast.FunctionDef, call: ast.Call, module: str) -> Iterator[Declared]:
    names, whole = _values({"name": call.args[0]} if call.args else {})
    options, plain = _values({word.arg: word.value for word in call.keywords if word.arg is not None})
    parameters: dict[str, Any] = {}
    functions: frozenset[str] = frozenset()
    known = True
    if isinstance(node, ast.ClassDef):
        parameters, functions, known = _class(node, module)
    if isinstance(names.get("name"), str):
        yield Declared(
            name=names["name"],
            module=module,
            target=node.name,
            summary=(ast.get_docstring(node) or "").split("\n", 1)[0],
            options=options,
            parameters=parameters,
            functions=functions,
            complete=whole and plain and known and all(word.arg for word in call.keywords),
        )


def _class(node: ast.ClassDef, module: str) -> tuple[dict[str, Any], frozenset[str], bool]:
    """Return the parameters and functions of a class, and whether all could be read; bases come first."""
    parameters: dict[str, Any] = {}
    functions: frozenset[str] = frozenset()
    complete = True
    for base in node.bases:
        found = _base(base, module)
        if found is None:
            complete = False
            continue
        inherited, can, known = found
        parameters, functions, complete = {**parameters, **inherited}, functions | can, complete and known
    functions |= {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    for part in node.body:
        if not isinstance(part, ast.AnnAssign) or not isinstance(part.target, ast.Name):
            continue
        name = part.target.id
        if part.value is None:
            # Without a default: a field that must be given, or one of the class and none of its parameters.
            continue
        default = _default(part.value)
        if default is None:
            continue
        value, plain = _values({name: default})
        parameters, complete = {**parameters, **value}, complete and plain
    return parameters, functions, complete


def _default(value: ast.expr) -> ast.expr | None:
    """Return what a parameter is by default; None for a field that is no parameter."""
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "field"):
        return value
    given = {word.arg: word.value for word in value.keywords}
    metadata, _ = _values({"metadata": given.get("metadata", ast.Dict(keys=[], values=[]))})
    init, _ = _values({"init": given.get("init", ast.Constant(value=True))})
    if not metadata.get("metadata", {}).get("param", True) or not init.get("init", True):
        return None
    factory = given.get("default_factory")
    if isinstance(factory, ast.Name) and factory.id in ("dict", "list", "tuple"):
        empty: dict[str, ast.expr] = {
            "dict": ast.Dict(keys=[], values=[]),
            "list": ast.List(elts=[], ctx=ast.Load()),
            "tuple": ast.Tuple(elts=[], ctx=ast.Load()),
        }
        return empty[factory.id]
    return given.get("default", value)


def _base(base: ast.expr, module: str) -> tuple[dict[str, Any], frozenset[str], bool] | None:
    """Return the parameters and functions of a base class, wherever in the package it is; None if it is not found."""
    if isinstance(base, ast.Subscript):
        base = base.value
    if not isinstance(base, ast.Name):
        return None
    if base.id in ("Protocol", "Generic", "object", "ABC"):
        return {}, frozenset(), True
    tree = _tree(module)
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.ClassDef) and node.name == base.id:
            return _class(node, module)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == base.id:
                    return _base(ast.Name(id=alias.name, ctx=ast.Load()), node.module)
    return None


def _tree(module: str) -> ast.Module | None:
    """Return the syntax of a module of the package; None for one that is not a file of it."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    for place in spec.submodule_search_locations or () if spec is not None else ():
        for path in (Path(place, *rest).with_suffix(".py"), Path(place, *rest, "__init__.py")):
            if path.is_file():
                return _parsed(path)
    return None


def _values(nodes: Mapping[str, ast.expr]) -> tuple[dict[str, Any], bool]:
    """Return those that are plain values, and whether all are."""
    found = {}
    for name, node in nodes.items():
        try:
            found[name] = ast.literal_eval(node)
        except (ValueError, TypeError):
            continue
    return found, len(found) == len(nodes)
