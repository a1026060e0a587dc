"""What the package imports is what it declares, no more and no less."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator

from tests.architecture.imports import ROOT, modules

DISTRIBUTIONS = {
    "PIL": "pillow",
    "faiss": "faiss-cpu",
    "mlflow": "mlflow-skinny",
    "open_clip": "open_clip_torch",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Distributions whose modules have another name."""

ROOMS = {
    "align": "bench.encoders.",
    "energy": "bench.cost.",
    "export": "bench.reports.",
    "hf": "bench.encoders.",
    "milvus": "bench.search.",
    "onnx": ("bench.classifier.", "bench.encoders."),
    "photos": "bench.encoders.",
    "ray": "bench.runner.",
    "serve": ("bench.serving.", "bench.view."),
    "share": "bench.sharing.",
    "texts": "bench.encoders.",
    "web": "bench.data.web.",
}
"""The parts of the package that each extra serves; no other imports what it brings."""

THROUGH_OTHERS = {
    "huggingface-hub": "fsspec opens hf:// with it",
    "milvus-lite": "pymilvus opens a FILE.db with it",
    "seaborn": "figures of reports",
    "tensorboard": "torch.utils.tensorboard writes with it",
}
"""Declared, and used by what is imported."""

DEVELOPMENT = ("dev", "docs")


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found.group().lower().replace("_", "-")


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = {name_of(text) for text in PROJECT["dependencies"]}
EXTRAS = {
    extra: {name_of(text) for text in texts}
    for extra, texts in PROJECT["optional-dependencies"].items()
    if extra not in DEVELOPMENT
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that a file imports, by statement or by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "import_module":
                yield str(node.args[0].value)


def used() -> dict[str, set[str]]:
    """Return the distributions that are imported, each with the modules that do."""
    found: dict[str, set[str]] = {}
    for name, path in modules().items():
        for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
            top = module.split(".")[0]
            if top not in sys.stdlib_module_names and top != "bench":
                found.setdefault(name_of(DISTRIBUTIONS.get(top, top)), set()).add(name)
    return found


USED = used()


def test_everything_imported_is_declared() -> None:
    declared = REQUIRED.union(*EXTRAS.values())
    assert {name: sorted(users) for name, users in USED.items() if name not in declared} == {}


def test_everything_declared_is_imported() -> None:
    declared = REQUIRED.union(*EXTRAS.values())
    assert declared - set(USED) - set(THROUGH_OTHERS) == set()
    assert set(THROUGH_OTHERS) <= declared


def test_an_extra_serves_its_room_alone() -> None:
    assert set(EXTRAS) == set(ROOMS)
    for extra, names in EXTRAS.items():
        for name in names - REQUIRED:
            strangers = [user for user in USED.get(name, ()) if not user.startswith(ROOMS[extra])]
            assert strangers == [], (extra, name)


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b\ndef f():\n    from c.d import e\n    import_module('g')\n    importlib.import_module('h.i')\n"
    assert sorted(imported(ast.parse(source))) == ["a.b", "c.d", "g", "h.i"]
