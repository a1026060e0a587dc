"""Options of the tools that make no sense: one line, status 2, and nothing measured."""

from __future__ import annotations

import sys

import pytest

from tools import before_after, growth, growth_curve
from tools.arguments import positive

HERE = ["--methods", "protonet", "--data", "digits"]


@pytest.mark.parametrize("text", ["0", "-3", "abc", "1.5", ""])
@pytest.mark.parametrize("option", ["--items", "--classes", "--dimension", "--limit"])
def test_growth_takes_whole_numbers(option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        growth.main([f"{option}={text}"])
    told = capsys.readouterr()
    assert f"argument {option}: {text!r} is no whole number of 1 or more" in told.err
    assert not told.out


@pytest.mark.parametrize("tool", [growth, growth_curve])
@pytest.mark.parametrize(("names", "words"), [(",", "names no method"), ("slda,nosuch", "unknown method 'nosuch'")])
def test_growth_takes_methods_that_there_are(
    tool: object, names: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        tool.main(["--methods", names])  # type: ignore[attr-defined]
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["/no/such/python", *HERE], "/no/such/python: No such file or directory; name the interpreter of a worktree"),
        ([sys.executable, *HERE, "--repeat", "0"], "argument --repeat: '0' is no whole number"),
        ([sys.executable, *HERE, "--seeds", "-1"], "argument --seeds: '-1' is no whole number"),
        ([sys.executable, *HERE, "--set", "increment"], "argument --set: 'increment' is no NAME=VALUE"),
        ([sys.executable, *HERE, "--set", "=3"], "argument --set: '=' is no NAME=VALUE"),
        (["/bin/false", *HERE], "/bin/false: it ended without a reason"),
    ],
)
def test_two_versions_are_told_apart_from_mistakes(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        before_after.main(words)
    assert reason in capsys.readouterr().err


def test_a_number_is_read() -> None:
    assert positive("12") == 12
