"""What stands below all readers of input: YAML 1.2, JSON, names that become files, files written whole."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.utils import atomic
from bench.utils.atomic import making_folder, replacing, sweep, write_atomically
from bench.utils.errors import BenchError
from bench.utils.json_text import parse_json
from bench.utils.names import LONGEST, expand, file_name, name_fault, printable
from bench.utils.params import convert, parse
from bench.utils.texts import read_text
from bench.utils.yaml12 import YamlError, YamlSyntaxError, dump_yaml, parse_yaml

# -- YAML --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("-007", -7), ("0o17", 15), ("0x1F", 31), ("1e-3", 0.001), ("1E5", 1e5), (".5", 0.5), ("3.", 3.0),
        ("true", True), ("FALSE", False), ("no", "no"), ("on", "on"), ("yes", "yes"), ("null", None), ("~", None),
        ("1:30", "1:30"), ("1_000", "1_000"), ("2020-01-01", "2020-01-01"), ("-.inf", -math.inf), ("'010'", "010"),
        ("!!str 010", "010"), ("[1, no]", [1, "no"]), ("{no: 1, 2: 3}", {"no": 1, "2": 3}), ("", None),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(text)
    assert found == value
    assert type(found) is type(value)


def test_lists_of_names_are_read_as_text() -> None:
    assert parse_yaml("[no, 007, null, 1e-3, true]", as_text=True) == ["no", "007", "null", "1e-3", "true"]
    content = parse_yaml("classes: [no, 007, {a: 1}]\nrevision: 12e45\nd: 07", text_keys=("classes", "revision"))
    assert content == {"classes": ["no", "007", {"a": "1"}], "revision": "12e45", "d": 7}


NINE = ", ".join(["*{0}"] * 9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "key 'a' is given twice"),
        ("{1: x, '1': y}", "given twice"),
        ("[" * 100_000, "levels deep"),
        ("".join(" " * n + "x:\n" for n in range(99)), "levels deep"),
        ("\n".join(["- &a0 [x, x]"] + [f"- &a{n} [{NINE.format(f'a{n - 1}')}]" for n in range(1, 12)]), "more than"),
        ("&a [*a]", "stands for nothing"),
        ("!!python/object/apply:os.system [x]", "tag"),
        ("!!binary aGk=", "tag"),
        ("--- 1\n--- 2", "more than one document"),
        ("[a]: b", "key"),
        ("9" * 5000, "digits"),
        ("1e999", "largest number"),
    ],
)
def test_yaml_that_is_refused_is_refused_in_one_line(text: str, words: str) -> None:
    begun = time.process_time()
    with pytest.raises(YamlError, match=words) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    # A guard against a hang: what multiplies takes hours.
    assert time.process_time() - begun < 60


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
LOOKALIKES = ["no", "on", "007", "1e-3", "12e45", "null", "", "~", "0o7", "1:30", "1_000", "=", "<<", " a ", "é", "-"]


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=5) | st.sampled_from(LOOKALIKES), VALUES | st.sampled_from(LOOKALIKES)))
def test_what_is_written_is_read_again_by_either_version(content: dict[str, Any]) -> None:
    text = dump_yaml(content)
    assert parse_yaml(text) == content
    assert yaml.safe_load(text) == content


@settings(max_examples=150)
@given(st.text(alphabet="ab[]{}:,-&*!?|>'\"#\n\t 0123456789e.~é\0", max_size=60))
def test_any_text_is_a_value_or_one_line(text: str) -> None:
    said = ""
    try:
        parse_yaml(text)
    except YamlError as error:
        said = str(error)
    assert "\n" not in said


# -- parameters --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    k: int = 1
    rate: float = 0.1
    flag: bool = False
    ks: tuple[int, ...] = ()
    either: int | None = None
    word: str = ""


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("k", "010", 10), ("rate", "1e-3", 0.001), ("rate", "1e3", 1000.0), ("flag", "true", True), ("flag", "no", False),
     ("ks", "[010, 2]", (10, 2)), ("either", "null", None), ("word", "no", "no"), ("word", "@x", "@x")],
)  # fmt: skip
def test_parameters_on_the_command_line(name: str, text: str, value: object) -> None:
    made = convert(Recipe, "knn", name, parse(text))
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("k", "true"), ("k", "1:30"), ("k", "1.5"), ("rate", "false"), ("rate", "1:30"), ("ks", "[1, true]"),
     ("either", "true"), ("k", "{a: 1, a: 2}"), ("k", "[" * 500), ("rate", "inf"), ("rate", "-.inf"), ("rate", "nan"),
     ("rate", ".nan"), ("rate", "1e400")],
)  # fmt: skip
def test_what_is_no_number_is_refused_where_one_is_meant(name: str, text: str) -> None:
    with pytest.raises(BenchError) as caught:
        convert(Recipe, "knn", name, parse(text))
    assert "\n" not in str(caught.value)


# -- JSON and texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1, "a": 2}', "[" * 65 + "]" * 65, "9" * 5000, "{", ""])
def test_json_that_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


def test_json_with_many_shallow_lists_and_brackets_in_text_is_read() -> None:
    assert parse_json("[" + ",".join(["[1]"] * 500) + "]") == [[1]] * 500
    assert parse_json('["' + "[" * 500 + '\\"]"]') == ["[" * 500 + '"]']


def test_texts_come_from_regular_files_in_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffcafé".encode())
    assert read_text(path, "a file") == "café"
    path.write_bytes("café".encode("cp1252"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {"a.txt": "not UTF-8 text", "pipe": "a pipe", "loop": "cannot read", ".": "it is a folder",
             "none": "cannot read", "a\0b": "zero byte"}  # fmt: skip
    for name, words in cases.items():
        with pytest.raises(BenchError, match=words):
            read_text(tmp_path / name, "a file")
    with pytest.raises(BenchError, match="more than 3"):
        read_text(path, "a file", longest=3)


# -- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", " ", "../victim", "a/b", "/etc/x", "a\\b", "C:x", "a\0b", ".hidden", "..", ".", "a\nb", "x" * 121, "é" * 61,
     "a ", " a", "caf\udce9", "a\u2028b"],
)  # fmt: skip
def test_names_that_cannot_be_files_are_refused(name: str) -> None:
    with pytest.raises(BenchError, match=r"split .* it becomes the name of a file") as caught:
        file_name(name, "split")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", ["train", "shot16", "café", "big cat", "a.b", "x" * LONGEST, "é" * 60, "猫", "50%"])
def test_ordinary_names_stay(name: str) -> None:
    assert file_name(name, "split") == name


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(), max_size=140) | st.text(alphabet="./\\ab:\0 \n\udce9é", max_size=12))
def test_a_name_that_passes_stays_in_its_folder(name: str) -> None:
    if name_fault(name) is not None:
        return
    path = Path("/folder") / f"{name}.safetensors"
    assert path.parent == Path("/folder")
    assert os.path.normpath(path) == str(path)
    assert len(os.fsencode(path.name)) < 255 - len(".m12345678.1234567.tmp")


def test_home_folders_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expand(Path("~/data")) == Path("/home/me/data")
    assert expand(Path("data/~x")) == Path("data/~x")
    long = {"a/" + "x" * 256: "too long", "x/" * 3000: "too long"}
    cases = {"~nobody-of-this-name/x": "home folder", "a\0b": "zero byte"} | long
    cases |= dict.fromkeys(("a\nb", "\x1b[2Jx", "a\x9bb"), "control characters")
    for path, words in cases.items():
        with pytest.raises(BenchError, match=words):
            expand(Path(path))


def test_bytes_of_no_encoding_are_shown_escaped() -> None:
    assert printable("caf\udce9.png") == "caf\\udce9.png"


# -- files -------------------------------------------------------------------------------------------------------


def test_long_names_are_written_and_too_long_ones_refused_in_one_line(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("é" * 125), "x")
    assert (tmp_path / ("é" * 125)).read_text() == "x"
    for path, words in (
        (tmp_path / ("x" * 300), "choose a shorter name"),
        (tmp_path / ("x" * 300) / "y", "choose a shorter name"),
        (tmp_path / "a\0b", "zero byte"),
        (Path("/dev/full/x"), "cannot write"),
    ):
        with pytest.raises(BenchError, match=words) as caught:
            write_atomically(path, "x")
        assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["device", "pipe", "link to a device", "socket"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "device":
        path = Path("/dev/null")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    else:
        path.symlink_to("/dev/null")
    before = os.stat(path).st_mode
    with pytest.raises(BenchError, match="it is a device, a pipe or a socket; name a file"):
        write_atomically(path, "x")
    assert os.stat(path).st_mode == before
    assert not list(path.parent.glob(".x.*.tmp"))


def test_the_next_writer_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from bench.utils.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as t: t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.bin")], check=False)
    left = list(tmp_path.glob(".*.tmp"))
    assert len(left) == 1
    write_atomically(tmp_path / "b.bin", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.bin"]


def test_files_of_another_machine_are_left_alone_for_a_day(tmp_path: Path) -> None:
    young, old = tmp_path / ".a.m00000000.999999999.tmp", tmp_path / ".b.m00000000.999999999.tmp"
    own = tmp_path / f".c.{atomic._machine()}.{os.getpid()}.tmp"
    for path in (young, old, own, tmp_path / ".d.99999999999999999999999.tmp"):
        path.write_text("")
    os.utime(old, (0, 0))
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == [young, own]


def into_file(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("x")


def into_folder(path: Path) -> None:
    with making_folder(path) as temporary, (temporary / "a").open("w") as stream:
        stream.write("x")
        os.fsync(stream.fileno())


@pytest.mark.parametrize("write", [into_file, into_folder, lambda path: write_atomically(path, b"x")])
def test_files_and_folders_are_synced_before_and_after_the_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    done: list[str] = []
    fsync, replace, rename = os.fsync, Path.replace, Path.rename

    def synced(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def swapped(self: Path, target: Path) -> Path:
        done.append("swap")
        return replace(self, target)

    def renamed(self: Path, target: Path) -> Path:
        done.append("swap")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", swapped)
    monkeypatch.setattr(Path, "rename", renamed)
    write(tmp_path / "a")
    assert done == ["file", "swap", "folder"]


def test_a_syntax_error_is_told_from_a_refusal() -> None:
    with pytest.raises(YamlSyntaxError):
        parse_yaml("a: [")
    with pytest.raises(YamlError) as caught:
        parse_yaml("{a: 1, a: 2}")
    assert not isinstance(caught.value, YamlSyntaxError)
