"""The code in a cell's identity: what shapes its numbers and nothing else.

A cell is used again only while what made it is the same: the modules of its method, its scenario and of the evaluation,
with all that they import, the data files which that code reads, and the libraries that compute. Comments, docstrings,
the command line, reports and whatever else no number passes through do not count.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import FunctionType
from typing import Any

from bench.core.protocols import WantsPixels
from bench.utils.hashing import digest
from bench.utils.source import Modules, normalised

EVALUATION = (
    "bench.runner.deal",
    "bench.runner.evaluate",
    "bench.runner.leakage",
    "bench.runner.record_rows",
    "bench.device.exactness",
)
"""The modules that deal, score and count, whatever the method and the scenario."""

APPROXIMATE = ("bench.search.approximate.recall",)
"""Those that measure an approximate search."""

PIXELS = ("bench.data.item_images", "bench.encoders.glyphs.load")
"""Those that a method which trains from pixels gets its images and the bundled encoder by."""

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn")
"""What computes beside our own code; counted by major and minor version."""

_NAME = "bench"
_FOLDER = Path(__file__).resolve().parent.parent
_SITES = ("site-packages", "dist-packages")
_FACADE = _NAME
"""The package itself, which only hands out what lies in its modules."""
_RELEASE = "bench.utils.version"
"""The number of the release says nothing of what changed in it; that of the schema is in the identity by itself."""


def evaluation_fingerprint() -> str:
    """Return a hash of the code that deals, evaluates and measures every cell, and of the libraries that compute."""
    return digest(_ours().digest(EVALUATION), {name: minor(version(name)) for name in LIBRARIES})


def engine_fingerprint(engine: Any) -> str:
    """Return a hash of the code of a search engine that is not exact, and of what measures it."""
    return _of_class(type(engine), APPROXIMATE) or ""


def recipe_fingerprint(recipe: Any) -> str | None:
    """Return a hash of the code of a method or scenario: its module, what that imports, and the data files they read.

    Of a plug-in, its distribution and the modules of its own count as well; of a class typed into a notebook, its
    source. None where there is no source to be found: its parameters still tell it apart.
    """
    return _of_class(type(recipe), PIXELS if isinstance(recipe, WantsPixels) and recipe.wants_pixels else ())


def minor(release: str) -> str:
    """Return major and minor of a version: ``2.4`` for ``2.4.1+cpu``."""
    return ".".join(release.partition("+")[0].split(".")[:2])


def _ours(**roots: Path) -> Modules:
    return Modules({_NAME: _FOLDER, **roots}, without=(_FACADE, _RELEASE))


def _of_class(cls: type, others: Iterable[str] = ()) -> str | None:
    module = cls.__module__
    top = module.partition(".")[0]
    if top == _NAME:
        return _ours().digest([module, *others])
    file = _file_of(module)
    if file is None:
        return _typed(cls, others)
    distribution = _distribution(top)
    # What lies in a folder that no distribution owns belongs together: a script and the modules beside it.
    root = _root(module, file)
    beside = None if distribution or root.parent.name in _SITES else root.parent
    own = Modules({_NAME: _FOLDER, top: root}, beside=beside, without=(_FACADE, _RELEASE))
    return digest(distribution, own.digest([module, *others]))


def _file_of(module: str) -> Path | None:
    """Return the source file of a module that was imported; None for a notebook or a compiled module."""
    named = getattr(sys.modules.get(module), "__file__", None)
    path = Path(named).resolve() if named else None
    return path if path is not None and path.suffix == ".py" and path.is_file() else None


def _root(module: str, file: Path) -> Path:
    """Return the folder of a module's top-level package, or the file of a module that is in none."""
    depth = module.count(".")
    if file.name == "__init__.py":
        return file.parents[depth]
    return file.parents[depth - 1] if depth else file


@cache
def _distribution(top: str) -> tuple[str, str] | None:
    """Return name and version of the distribution that installed a top-level name; None if there is none."""
    for name in packages_distributions().get(top, ()):
        try:
            return name, version(name)
        except PackageNotFoundError:
            continue
    return None


def _typed(cls: type, others: Iterable[str]) -> str | None:
    """Return a hash of the source of a class that has no file, and of the code of the classes it is made from."""
    bases = [base.__module__ for base in cls.__mro__ if base.__module__.partition(".")[0] == _NAME]
    source = _source_of(cls)
    if source is None and not bases:
        return None
    return digest(source, _ours().digest([*bases, *others]))


def _source_of(cls: type) -> list[str] | None:
    """Return the source of a class, or that of its functions where Python knows no more; None if it knows none."""
    whole = _normalised_source(cls)
    if whole is not None:
        return [whole]
    functions = [_normalised_source(value) for value in vars(cls).values() if inspect.isfunction(value)]
    return [text for text in functions if text is not None] or None


def _normalised_source(part: type | FunctionType) -> str | None:
    try:
        return normalised(textwrap.dedent(inspect.getsource(part)))
    except (OSError, TypeError, SyntaxError):
        return None
