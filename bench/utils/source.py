"""Source code as content: what modules compute with, whatever their comments say, and what they import."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.utils.hashing import digest, file_digest

_FILE_NAME = re.compile(r"(?:\.\./)*(?:[\w-]+/)*[\w.-]+\.\w+")
_PATTERN = re.compile(r"(?:[\w-]+/)*[\w.-]*\*\.\w+")
_CODE = (".py", ".pyc", ".pyi")


@dataclass(frozen=True)
class Source:
    """What a source file says.

    Attributes
    ----------
    digest : str
        Hash of its code without comments, docstrings and layout.
    imports : tuple of (int, str, str or None)
        Of each import that is executed, inside functions too: the number of leading dots, the module, and the name that
        is imported from it. What only a type checker imports is left out.
    texts : frozenset of str
        Its string constants that can be the name of a file, or a pattern such as ``*.yaml``.
    """

    digest: str
    imports: tuple[tuple[int, str, str | None], ...]
    texts: frozenset[str]


def normalised(code: str) -> str:
    """Return code without comments, docstrings and layout, the same under Python 3.11, 3.12 and 3.13.

    Raises
    ------
    SyntaxError
        If it is not Python.
    """
    return ast.unparse(_plain(ast.parse(code)))


def _plain(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        for part in ("body", "orelse", "finalbody"):
            block = getattr(node, part, None)
            if isinstance(block, list) and block:
                kept = [statement for statement in block if not _is_text(statement)]
                if len(kept) < len(block):
                    setattr(node, part, kept or [ast.Pass()])
    _FormattedStrings().visit(tree)
    return ast.fix_missing_locations(tree)


def _is_text(statement: ast.stmt) -> bool:
    """Return whether a statement is a mere string: a docstring, or what is said below an attribute."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


class _FormattedStrings(ast.NodeTransformer):
    """Turns f-strings into calls: how :func:`ast.unparse` quotes what is nested in them depends on the version."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        # Python 3.12.1 ends a format with an empty part.
        parts = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
        return ast.Call(func=ast.Name("joined_string"), args=parts, keywords=[])

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        self.generic_visit(node)
        spec = node.format_spec or ast.Constant(None)
        return ast.Call(func=ast.Name("formatted"), args=[node.value, ast.Constant(node.conversion), spec], keywords=[])


def read(path: Path) -> Source:
    """Return what a source file says; one that has not changed is read once in a process."""
    return _read(path, *stamp(path))


KNOWN: dict[str, Source] = {}
"""What files say, by the SHA-256 of their content; :func:`bench.utils.source_index.source_index` keeps it."""


@cache
def _read(path: Path, mtime: int, size: int) -> Source:
    content = path.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    # Taken out and put in again: what is used is last.
    said = KNOWN.pop(key, None) or _parsed(content)
    KNOWN[key] = said
    return said


def _parsed(content: bytes) -> Source:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        # Written for another Python: what cannot be understood counts as it stands.
        return Source(hashlib.sha256(content).hexdigest(), (), frozenset())
    imports = tuple(_imports(tree))
    plain = _plain(tree)
    texts = {
        node.value
        for node in ast.walk(plain)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (_FILE_NAME.fullmatch(node.value) or _PATTERN.fullmatch(node.value))
    }
    return Source(digest(ast.unparse(plain)), imports, frozenset(texts))


def _imports(node: ast.AST) -> Iterator[tuple[int, str, str | None]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((0, alias.name, None) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((child.level, child.module or "", alias.name) for alias in child.names)
        elif isinstance(child, ast.If) and _for_type_checkers(child.test):
            for statement in child.orelse:
                yield from _imports(ast.Module([statement], []))
        else:
            yield from _imports(child)


def _for_type_checkers(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


@cache
def _data(path: Path, mtime: int, size: int) -> str:
    return file_digest(path)


class Modules:
    """Modules found by name in some folders, never by importing them.

    Parameters
    ----------
    roots : mapping of str to Path
        By top-level name, the folder of a package or the file of a module.
    beside : Path, optional
        A folder in which any other top-level name may be found.
    without : collection of str
        Modules that are not followed.
    """

    def __init__(self, roots: Mapping[str, Path], *, beside: Path | None = None, without: Collection[str] = ()) -> None:
        self._roots, self._beside, self._without = dict(roots), beside, frozenset(without)

    def path(self, module: str) -> Path | None:
        """Return the file of a module, an ``__init__.py`` for a package; None if it is in none of the folders."""
        top, *rest = module.split(".")
        root = self._roots.get(top)
        if root is None and self._beside is not None and top.isidentifier():
            root = self._beside / top if (self._beside / top / "__init__.py").is_file() else self._beside / f"{top}.py"
        if root is None:
            return None
        if root.suffix == ".py":
            return root if not rest and root.is_file() else None
        place = root.joinpath(*rest)
        if rest and (file := place.with_name(f"{place.name}.py")).is_file():
            return file
        return file if (file := place / "__init__.py").is_file() else None

    def closure(self, modules: Iterable[str]) -> dict[str, Path]:
        """Return the files of modules and of all that they import, and so on, by module name."""
        found: dict[str, Path] = {}
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            path = self.path(module)
            if module in found or module in self._without or path is None:
                continue
            found[module] = path
            waiting += self._imported(module, path)
        return dict(sorted(found.items()))

    def _imported(self, module: str, path: Path) -> Iterator[str]:
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        for level, name, part in read(path).imports:
            parts = [*package[: len(package) - level + 1], *filter(None, [name])] if level else [name]
            target = ".".join(parts)
            whole = f"{target}.{part}"
            yield whole if part is not None and self.path(whole) is not None else target

    def digest(self, modules: Iterable[str]) -> str:
        """Return a hash of the code of modules, of all that they import, and of the data files that this code reads.

        A data file is one that a string constant of a module names by its place beside the module. Nothing is read
        again until one of the files has changed.
        """
        wanted = tuple(modules)
        key = (tuple(self._roots.items()), self._beside, self._without, wanted)
        known = _DIGESTS.get(key)
        if known is None or any(stamp(path) != then for path, then in known[0].items()):
            closure = self.closure(wanted)
            data = sorted((module, *named) for module, path in closure.items() for named in data_files(path).items())
            stamps = {path: stamp(path) for path in (*closure.values(), *(where for _, _, where in data))}
            code = [(module, read(path).digest) for module, path in closure.items()]
            contents = [(module, name, _data(where, *stamps[where])) for module, name, where in data]
            known = _DIGESTS[key] = (stamps, digest(code, contents))
        return known[1]


_DIGESTS: dict[tuple[object, ...], tuple[dict[Path, tuple[int, int]], str]] = {}
"""By what was asked for: when the files were changed that were read, and the answer."""


def stamp(path: Path) -> tuple[int, int]:
    """Return when a file was changed and its size; (0, 0) for one that is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def data_files(path: Path) -> dict[str, Path]:
    """Return the data files that a source file names, by name relative to its folder."""
    folder, found = path.parent, {}
    for text in read(path).texts:
        for place in folder.glob(text) if "*" in text else [folder / text]:
            if place.is_file() and place.suffix not in _CODE:
                found[text if "*" not in text else place.relative_to(folder).as_posix()] = place
    return found
