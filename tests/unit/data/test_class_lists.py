"""Ordinary and odd class lists: the right names, or one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.data.class_names import check_class_names, clean, read_classes, same_name
from bench.utils.errors import BenchError


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("c.yaml", "- no\n- on\n- 007\n- null\n- 1e5\n", ["no", "on", "007", "null", "1e5"]),
        ("c.yml", "0: no\n1: ~\n", ["no", "~"]),
        ("c.YAML", "animals: [yes, 010]", ["yes", "010"]),
        ("c.txt", "\ufefffox \n  wolf\r\nlynx\n\n", ["fox", "wolf", "lynx"]),
        ("c.txt", "# the animals\n\nfox\nwolf\n", ["fox", "wolf"]),
        ("c.txt", "cafe\u0301\nfox", ["caf\u00e9", "fox"]),
        ("c.json", '\ufeff["fox ", 7]', ["fox", "7"]),
        ("c.json", '{"1": "b", "0": "a"}', ["a", "b"]),
    ],
)
def test_class_names_are_text(tmp_path: Path, file: str, content: str, names: list[str]) -> None:
    (tmp_path / file).write_text(content, encoding="utf-8")
    assert read_classes(tmp_path / file, "animals") == names


def test_what_was_changed_in_a_class_list_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("# a comment\nfox\ncafe\u0301\n")
    notes: list[str] = []
    read_classes(tmp_path / "c.txt", "x", notes)
    assert len(notes) == 2
    assert "1 line that begin with #" in notes[0]
    assert "1 class names were stripped" in notes[1]


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("c.txt", b"fox\n\nwolf\n", "an empty line before 'wolf'"),
        ("c.json", b'["fox", ""]', "class 1 has an empty name"),
        ("c.yaml", b"[fox, ' ']", "class 1 has an empty name"),
        ("c.json", b'["fox", null]', "the name of class 1 is no text"),
        ("c.json", b'["fox", true]', "the name of class 1 is no text"),
        ("c.json", b'["a\\nb"]', "no text"),
        ("c.json", b'["\\ud800"]', "no text"),
        ("c.txt", "café\n".encode("cp1252"), "not UTF-8"),
        ("c.txt", "café\n".encode("utf-16"), "not UTF-8"),
        ("c.json", b"[" * 9999, "damaged"),
        ("c.yaml", b"[" * 9999, "damaged"),
        ("c.yaml", b"{0: a, 0: b}", "given twice"),
        ("c.json", b'{"0": "a", "00": "b"}', "without gaps"),
        ("c.json", b'{"1": "a"}', "without gaps"),
        ("c.json", b"{}", "no class list"),
        ("c.json", b'{"other": []}', "no class list 'x'"),
        ("c.yaml", b"words", "holds no list"),
        ("c.json", '{"²": "a"}'.encode(), "no class list"),
        ("c.txt", b"fox\n" + b"a" * 10_000_000, "10000000 characters, more than 1000"),
        ("c.json", b'["' + b"a" * 1001 + b'"]', "1001 characters"),
        ("c.yaml", b"- " + b"a" * 1001, "1001 characters"),
        ("c.txt", b"a\n" * 500_001, "500001 class names, more than 500000"),
        ("c.txt", "fox\n\u202eflow\n".encode(), "no text"),
        ("c.yaml", b"a: &a {0: fox}\n<<: *a\n1: wolf\n", "no class list"),
    ],
)
def test_class_lists_that_are_refused(tmp_path: Path, file: str, content: bytes, words: str) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(BenchError, match=words) as caught:
        read_classes(tmp_path / file, "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [["Fox", "fox"], ["café", "cafe\u0301"], ["fox", "fox "], ["a", " "], ["a\nb"]])
def test_names_that_are_one_class_are_refused(names: list[str]) -> None:
    with pytest.raises(BenchError, match="the list"):
        check_class_names(names, "the list")


@settings(max_examples=150)
@given(st.text(max_size=20))
def test_a_clean_name_stays_clean(name: str) -> None:
    assert clean(clean(name)) == clean(name)
    assert same_name(f" {name}\n") == same_name(name)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:- \n#ab01é\0', max_size=40).map(str.encode),
       st.sampled_from(["c.txt", "c.json", "c.yaml"]))  # fmt: skip
def test_any_file_is_a_class_list_or_one_line(tmp_path: Path, content: bytes, file: str) -> None:
    (tmp_path / file).write_bytes(content)
    said = ""
    try:
        names = read_classes(tmp_path / file, "a")
        assert all(name and name == clean(name) for name in names)
    except BenchError as error:
        said = str(error)
    assert "\n" not in said
