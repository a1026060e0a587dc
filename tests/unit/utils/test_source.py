"""Source code as content: what counts, what does not, and what is found behind an import."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.utils.hashing import digest
from bench.utils.source import Modules, data_files, normalised, read

TRICKY = """
def f(x, y, width=3):
    'Docstring.'
    a = f"{x['a']} and {'b' if y else 'c'}: {x!r:>{width}} {y:.3f}" 'tail'
    b = f"{x=}" + f'{{}}' + f"it's {', '.join(y)}"
    return {**x, 'k': [*y, a]}[b], (lambda *p, q=1, **r: (p, q, r)), x[1:2, ..., None]

class C:
    \"\"\"Only a docstring.\"\"\"
"""


def test_comments_docstrings_and_layout_are_no_code() -> None:
    plain = "X = 1\ndef f(a):\n    return a\nclass C:\n    n: int = 2\n"
    told = (
        '"""A module."""\nX = (1)  # one\n"""What X is."""\ndef f(\n    a,\n):\n    "Says."\n    # why\n'
        '    return a\nclass C:\n    """Is."""\n\n    n: int = 2\n    """Two."""\n'
    )
    assert normalised(told) == normalised(plain)
    assert normalised(plain.replace("X = 1", "X = 2")) != normalised(plain)
    assert normalised("def f():\n    'Says.'\n") == normalised("def f():\n    pass\n")
    assert normalised("x = 'said'") != normalised("x = 'told'"), "a string that is a value is code"


def test_the_hash_of_code_is_the_same_under_every_python() -> None:
    assert digest(normalised(TRICKY)) == "d950453cc58ff3220394f123c5aa3804"


def package(folder: Path, **files: str) -> Modules:
    for name, text in files.items():
        path = folder / "acme" / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Modules({"acme": folder / "acme"})


def test_imports_are_followed_wherever_they_are_executed(tmp_path: Path) -> None:
    there = package(
        tmp_path,
        __init__="from acme.everything import all_of_it\n",
        everything="",
        a="from acme import b\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import acme.types\n",
        b="def f():\n    import acme.sub.c as c\n    return c\n",
        types="import acme.everything\n",
        sub__in____init__="",
        sub__in__c="import acme.a\nfrom .. import d\nfrom .e import g\nimport numpy\n",
        sub__in__e="g = 1\n",
        d="",
    )
    assert list(there.closure(["acme.a"])) == ["acme.a", "acme.b", "acme.d", "acme.sub.c", "acme.sub.e"]


def test_modules_can_be_left_out_with_what_only_they_import(tmp_path: Path) -> None:
    package(tmp_path, a="import acme.b\n", b="import acme.c\n", c="")
    there = Modules({"acme": tmp_path / "acme"}, without=["acme.b"])
    assert list(there.closure(["acme.a"])) == ["acme.a"]


def test_data_files_count_where_the_code_names_them(tmp_path: Path) -> None:
    there = package(tmp_path, a="W = 'w.bin'\nY = '*.yaml'\nD = '../beside/d.json'\n'n.txt'\nN = 'gone.txt'\n")
    for name in ("acme/w.bin", "acme/x.yaml", "acme/n.txt", "acme/other.bin", "beside/d.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    assert sorted(data_files(tmp_path / "acme" / "a.py")) == ["../beside/d.json", "w.bin", "x.yaml"]
    before = there.digest(["acme.a"])
    (tmp_path / "acme" / "other.bin").write_text("22")
    assert there.digest(["acme.a"]) == before
    for name in ("acme/w.bin", "acme/x.yaml", "beside/d.json"):
        (tmp_path / name).write_text("333")
        assert there.digest(["acme.a"]) != before
        (tmp_path / name).write_text("1")
        assert there.digest(["acme.a"]) == before


def test_a_file_that_is_no_python_counts_as_it_stands(tmp_path: Path) -> None:
    there = package(tmp_path, a="import acme.b\n", b="x = = 1  # one\n")
    before = there.digest(["acme.a"])
    (tmp_path / "acme" / "b.py").write_text("x = = 1  # two, and more\n")
    assert there.digest(["acme.a"]) != before


def test_a_file_is_read_once_and_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = package(tmp_path, a="import acme.b\n", b="X = 1\n")
    before = there.digest(["acme.a"])
    with monkeypatch.context() as patch:
        patch.setattr("ast.parse", lambda *_: pytest.fail("a file is read twice"))
        assert Modules({"acme": tmp_path / "acme"}).digest(["acme.a"]) == before
    (tmp_path / "acme" / "b.py").write_text("X = 22\n")
    assert there.digest(["acme.a"]) != before
    assert read(tmp_path / "acme" / "a.py").imports == ((0, "acme.b", None),)
