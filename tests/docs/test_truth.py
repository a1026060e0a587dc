"""What the pages name exists: commands with their options, modules with their members, files of the repository."""

from __future__ import annotations

import importlib
import itertools
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

import bench
from bench.cli.main import main
from bench.core.registry import METHODS, SCENARIOS
from bench.utils.recipe_fields import hints

ROOT = Path(__file__).resolve().parents[2]

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def commands(text: str) -> list[list[str]]:
    """Return the ``bench`` commands of a page, in fenced and indented blocks and in running text, as words."""
    blocks = re.findall(r"^```\w*\n(.*?)^```|^((?:    [^\n]*\n)+)", text, re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", "\n".join(part for block in blocks for part in block)).splitlines()
    lines += [" ".join(code.split()) for code in re.findall(r"`(bench [^`]+)`", text)]
    found = [re.match(r"\s*(?:\$ )?(bench [a-z].*)", line) for line in lines]
    return [shlex.split(match[1], comments=True) for match in found if match is not None]


def problem(words: list[str]) -> str | None:
    """Return what is wrong with a command, or None."""
    command: click.Command = main
    context = click.Context(main)
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            return f"no command {rest[0]!r}"
        command, rest = found, rest[1:]
    options = {
        name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help", "--version"}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in options]
    if unknown:
        return f"no option {unknown[0]}"
    return next(filter(None, (unknown_name(*pair) for pair in itertools.pairwise(rest))), None)


SHOWN_IN_CONTRIBUTING = {"median", "imbalance"}


def unknown_name(option: str, value: str) -> str | None:
    """Return which method, scenario or parameter an option names that is not there, or None."""
    names = {*METHODS.names(), *SCENARIOS.names(), *SHOWN_IN_CONTRIBUTING}
    if option in ("--methods", "--scenario") and "$" not in value and value.islower():
        return next((f"no {name!r}" for name in re.split(r":[^,]*,?|,", value) if name and name not in names), None)
    if option == "--set" and (assigned := re.match(r"([a-z-]+)\.(\w+)=", value)):
        owner, parameter = assigned.groups()
        if owner not in names:
            return f"no {owner!r}"
        if owner not in SHOWN_IN_CONTRIBUTING:
            entry = (METHODS if owner in METHODS.names() else SCENARIOS).get(owner)
            return None if parameter in hints(entry.cls) else f"{owner} has no {parameter!r}"
    return None


@every_page
def test_commands_and_their_options_exist(page: Path) -> None:
    wrong = {" ".join(words): why for words in commands(page.read_text()) if (why := problem(words))}
    assert not wrong


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("bench run --methods knn:k=1,mml --set knn.k=[1,2] --scenario supervised", None),
        ("bench run --methods knn --sheds 3", "no option --sheds"),
        ("bench rum", "no command 'rum'"),
        ("bench data encode --in x", "no option --in"),
        ("bench run --methods knn:k=1,kmn", "no 'kmn'"),
        ("bench run --scenario incremental --set incremental.sheds=3", "incremental has no 'sheds'"),
        ("bench run --set incrementel.shots=3", "no 'incrementel'"),
    ],
)
def test_a_wrong_command_is_noticed(line: str, why: str | None) -> None:
    broken = line.replace(" --", " \\\n    --")
    for page in (f"```\n{broken}\n```\n", f"as in `{line}`.\n", f"text\n\n    {line}\n\ntext\n"):
        (words,) = commands(page)
        assert problem(words) == why


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:bench|methods|scenarios|reports|tests|tools)/[\w./-]*)`", page.read_text())
    assert not [name for name in named if not (ROOT / name).exists()]


@every_page
def test_modules_and_members_that_are_named_exist(page: Path) -> None:
    for name in sorted(set(re.findall(r"`(bench(?:\.\w+)+)(?:\([^`]*\))?`", page.read_text()))):
        assert exists(name), name


def exists(name: str) -> bool:
    """Return whether a dotted name is a module, or a member of one."""
    try:
        importlib.import_module(name)
    except ImportError:
        module, _, member = name.rpartition(".")
        return bool(module) and exists(module) and hasattr(importlib.import_module(module), member)
    return True


def test_a_name_that_is_gone_is_noticed() -> None:
    assert exists("bench.run")
    assert exists("bench.utils.errors.BenchError")
    assert not exists("bench.utils.errors.Gone")
    assert not exists("bench.gone.Gone")


def test_citation_and_changelog_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "message", "authors", "license"} <= set(citation)
    assert citation["version"] == bench.__version__
    assert f"## [{bench.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
