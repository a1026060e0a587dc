"""Reading what a module registers from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.utils.declared import Declared, _parsed, declared
from bench.utils.errors import BenchError

SOURCE = '''
import nothing_that_is_there
from beside.base import Base

@thing("one", needs=("a", "b"), variants={"two": {"k": 3}})
@dataclass(frozen=True)
class One(Base):
    """The first line.

    More.
    """

    k: Annotated[int, Ge(1)] = 2
    table: dict = field(default_factory=dict)
    hidden: int = field(default=0, metadata={"param": False})
    made: int = field(default=0, init=False)
    about: ClassVar[About]

    def train(self): ...

@thing("computed", words=" ".join(["a"]))
class Computed:
    """Its words are not written down."""

@thing("load", description="text")
def load():
    """A function."""

@other("none")
class Other: ...
'''
BASE = """
class Base:
    rate: float = 0.5
    k: int = 1

    def extend(self): ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "beside"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "base.py").write_text(BASE)
    (folder / "things.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    declared.cache_clear()
    yield folder
    declared.cache_clear()


def test_everything_that_is_written_down_is_read(package: Path) -> None:
    one, computed, load = declared("beside", "thing")
    assert one == Declared(
        name="one",
        module="beside.things",
        target="One",
        summary="The first line.",
        options={"needs": ("a", "b"), "variants": {"two": {"k": 3}}},
        parameters={"rate": 0.5, "k": 2, "table": {}},
        functions=frozenset({"train", "extend"}),
    )
    assert (computed.name, computed.complete) == ("computed", False)
    assert (load.target, load.options, load.complete) == ("load", {"description": "text"}, True)


def test_a_base_that_is_not_found_leaves_the_entry_incomplete(package: Path) -> None:
    (package / "things.py").write_text(SOURCE.replace("from beside.base import Base", "from elsewhere import Base"))
    assert not declared("beside", "thing")[0].complete


def test_a_file_that_is_not_python_is_one_line(package: Path) -> None:
    (package / "broken.py").write_text("@thing(\n")
    with pytest.raises(BenchError, match=r"broken\.py is not Python: .*; mend or remove it"):
        declared("beside", "thing")


def test_a_text_in_a_method_that_is_indented_less_changes_nothing(package: Path) -> None:
    whole = declared("beside", "thing")
    body = '    def train(self) -> str:\n        return """\n  one\nclass Other:\n"""\n'
    assert "    def train(" in SOURCE
    at = SOURCE.index("    def train(")
    end = SOURCE.index("\n", at) + 1
    (package / "things.py").write_text(SOURCE[:at] + body + SOURCE[end:])
    declared.cache_clear()
    _parsed.cache_clear()
    assert declared("beside", "thing") == whole


def test_bodies_of_methods_are_not_parsed(package: Path) -> None:
    (package / "things.py").write_text(
        SOURCE + "\n\nclass Late:\n    def f(self):\n        return 1 +\n\n    y: int = 1\n"
    )
    tree = _parsed(package / "things.py")
    last = tree.body[-1]
    assert isinstance(last, ast.ClassDef)
    assert [type(part).__name__ for part in last.body] == ["FunctionDef", "AnnAssign"]
