"""Commands are imported when they are called, and their summaries are those of their own help."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bench.cli.lazy import LazyGroup
from bench.cli.main import main


def groups(group: click.Group, path: str = "bench") -> Iterator[tuple[str, LazyGroup]]:
    if isinstance(group, LazyGroup):
        yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from groups(command, f"{path} {name}")


LAZY = [(f"{path} {name}", group, name) for path, group in groups(main) for name in group.lazy]


@pytest.mark.parametrize(("group", "name"), [(g, n) for _, g, n in LAZY], ids=[p for p, _, _ in LAZY])
def test_the_summary_of_a_command_is_that_of_its_own_help(group: LazyGroup, name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    for width in (40, 200):
        known = click.Command(name, help=group.lazy[name].summary)
        assert known.get_short_help_str(width) == command.get_short_help_str(width)


@pytest.mark.parametrize("arguments", [[], ["data"], ["data", "cache"], ["memory"]], ids=" ".join)
def test_the_help_of_a_group_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom bench.cli.main import main\n"
        f"try:\n    main({[*arguments, '--help']!r})\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'numpy', 'pandas', 'faiss', 'open_clip'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_imports_nothing_and_is_told() -> None:
    assert main.get_command(click.Context(main), "rum") is None


HEAVY = {"torch", "numpy", "pandas", "faiss", "open_clip", "sklearn", "scipy", "matplotlib"}


def imported(arguments: list[str], folder: Path, **environment: str) -> tuple[str, set[str]]:
    """Return what a command prints, and which of the heavy packages it has imported when it is done."""
    code = (
        "import sys\nfrom bench.cli.main import main\n"
        f"try:\n    main({arguments!r}, prog_name='bench')\nexcept SystemExit as done:\n    assert not done.code\n"
        "print('\\n' + ' '.join(m for m in sys.modules if '.' not in m))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    *printed, modules = done.stdout.splitlines()
    return "\n".join(printed), HEAVY & set(modules.split())


@pytest.mark.parametrize("kind", ["methods", "scenarios", "datasets", "experiments", "encoders", "engines"])
def test_a_list_is_read_and_imports_nothing_heavy(kind: str, tmp_path: Path) -> None:
    printed, heavy = imported(["list", kind], tmp_path)
    assert len(printed.splitlines()) >= 2
    assert heavy == set()


PACK = """format: 1
name: own-pack
dimension: 2
classes: [a, b]
splits: {}
roles: {}
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bench", {"run", "list", "data", "report"}),
        ("bench da", {"data"}),
        ("bench data", {"cache", "inspect"}),
        ("bench run --meth", {"--methods"}),
        ("bench run --methods knn,mml-t", {"knn,mml-text", "knn,mml-ttt"}),
        ("bench run --scenario memory-s", {"memory-size", "memory-swap"}),
        ("bench run --data d", {"digits"}),
        ("bench run --data own", {"own-pack"}),
    ],
)
def test_a_shell_completes_and_imports_nothing_heavy(words: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "packs" / "x").mkdir(parents=True)
    (tmp_path / "packs" / "x" / "pack.yaml").write_text(PACK)
    last = len(words.split()) - (len(words.split()) > 1 and words not in ("bench data",))
    code = (
        "import sys\nfrom bench.cli.main import main\n"
        "try:\n    main(prog_name='bench')\nexcept SystemExit:\n    pass\n"
        f"assert not {HEAVY!r} & set(sys.modules), sorted({HEAVY!r} & set(sys.modules))"
    )
    environment = {"_BENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(last)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {line.partition(",")[2] for line in done.stdout.splitlines()}
    assert expected <= found
    if len(words.split()) > 2:
        assert expected == found


@pytest.mark.parametrize("words", ["bench run --methods knn,prot", "bench fi"])
def test_fish_completes_lists_with_commas(words: str) -> None:
    fish = shutil.which("fish")
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    ask = f"_BENCH_COMPLETE=fish_source bench | source; complete -C '{words}'"
    if fish is None:
        # What fish is told is looked at, where it is not there to be asked.
        said = subprocess.run(
            ["bench"], env={**environment, "_BENCH_COMPLETE": "fish_source"}, capture_output=True, text=True
        ).stdout
        assert 'string split --max 1 "," $completion' in said
        return
    found = subprocess.run([fish, "--no-config", "-c", ask], env=environment, capture_output=True, text=True).stdout
    assert {line.split("\t")[0] for line in found.splitlines()} == {"knn,protonet" if "knn" in words else "fit"}
