"""The argument RUN and the options that say which of its answers are meant, for every command that looks at a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bench.cli.options import PATH
from bench.explain.replay import Which
from bench.results.run_folder import runs_below
from bench.utils.errors import BenchError


def asks_run(*, seed: str, session: str, methods: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command ``run``, ``which``, ``data`` and ``device``.

    Parameters
    ----------
    seed, session : str
        Which are meant where none is named, for the help.
    methods : bool
        Whether methods can be named.
    """
    options = [
        click.argument("run", metavar="RUN", type=PATH),
        click.option("--method", "methods", multiple=True, help="Method, as the run names it; may be repeated."),
        click.option("--seed", type=int, help=f"Seed.  [default: {seed}]"),
        click.option("--session", type=int, help=f"Session.  [default: {session}]"),
        click.option("--scenario", help="Scenario, for a run of several."),
        click.option("--dataset", help="Data set, for a run of several."),
        click.option(
            "--condition", multiple=True, metavar="KEY=VALUE", help="Condition, for a run of several: shots=4."
        ),
        click.option("--data", help="The data set's pack, where its name no longer leads to it."),
        click.option(
            "--device", metavar="auto|cpu|cuda|cuda:N", default="cpu", show_default=True, help="Where to compute."
        ),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def asked(
            run: Path,
            seed: int | None,
            session: int | None,
            scenario: str | None,
            dataset: str | None,
            condition: Sequence[str],
            methods: Sequence[str] = (),
            **others: Any,
        ) -> None:
            which = Which(
                methods=tuple(methods),
                seed=seed,
                session=session,
                scenario=scenario,
                dataset=dataset,
                condition=_condition(condition),
            )
            command(run=_one_run(run), which=which, **others)

        made: Callable[..., None] = asked
        for option in reversed(options if methods else [options[0], *options[2:]]):
            made = option(made)
        return made

    return decorate


def _one_run(folder: Path) -> Path:
    """Return a run's folder, or the only run below a folder."""
    found = runs_below(folder)
    if len(found) != 1:
        what = f"{len(found)} runs are in {folder}: name one of them" if found else f"no run in {folder}"
        raise BenchError(f"{what}; a run is a folder with run.json, made by `bench run`")
    return found[0]


def _condition(lines: Sequence[str]) -> dict[str, str]:
    """Return the values of a condition from ``KEY=VALUE``."""
    found = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals:
            raise BenchError(f"--condition {line!r} is not KEY=VALUE; write for instance shots=4")
        found[key.strip()] = value.strip()
    return found
