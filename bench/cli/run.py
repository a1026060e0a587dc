"""``bench run``: a comparison."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any, Literal

import click

from bench.cli import completion
from bench.cli.options import PATH, cells, say, warn
from bench.runner.options import declared
from bench.runner.parallel import interpreters
from bench.utils.importing import large_imports

_COMPLETE = {"scenario": completion.scenarios, "methods": completion.methods, "data": completion.datasets}
"""What completes the values of an option in a shell."""


class _RunCommand(click.Command):
    """Has an option for each field of :class:`bench.runner.options.RunOptions`, made when they are wanted."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        known = {parameter.name for parameter in self.params}
        self.params = [*(option for option in _options() if option.name not in known), *self.params]
        return super().get_params(ctx)


def _options() -> list[click.Option]:
    """Return the options of ``bench run``, from their declaration."""
    made = []
    for name, field in declared().items():
        option = field.option
        shown = field.default if option.default is None else option.default
        if isinstance(shown, tuple):
            shown = ",".join(map(str, shown))
        flag = field.type is bool
        names = f"--{name.replace('_', '-')}" + (f"/--{option.off}" if option.off else "")
        made.append(
            click.Option(
                [names, name],
                type=None if flag else _type(field.type),
                is_flag=flag,
                default=None,
                multiple=option.repeated,
                metavar=option.metavar,
                shell_complete=_COMPLETE.get(name),
                help=option.help if flag or shown in (None, "") else f"{option.help}  [default: {shown}]",
            )
        )
    return made


def _type(annotation: Any) -> click.ParamType[Any]:
    """Return what the command line reads a value as; the configuration converts and checks the rest."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        (annotation,) = (part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is Literal:
        return click.Choice(typing.get_args(annotation))
    if annotation is Path:
        return PATH
    return click.INT if annotation is int else click.STRING


@click.command(cls=_RunCommand)
@click.option("--config", type=PATH, help="YAML file with these settings; options win over it.")
@click.pass_context
def run(ctx: click.Context, /, config: Path | None, **options: Any) -> None:
    """Run a comparison; a stopped run goes on where it stopped.

    Results are kept in OUT/SCENARIO-ID, where ID is a hash of all settings: a changed setting gives a new folder.
    Leaves with status 1 if a method failed somewhere; the same command tries those cells again.
    """
    from bench.runner.config import RunConfig

    chosen = RunConfig.merged(config, {name: value for name, value in options.items() if value not in (None, ())})
    # Workers import what they need while this process imports the same and plans.
    jobs = chosen.jobs if chosen.jobs and chosen.ray is None else 1
    with interpreters.waiting(jobs) as ready:
        with large_imports():
            from bench.runner.events import in_words
            from bench.runner.loop import execute
            from bench.runner.parallel.pools import workers
            from bench.runner.parallel.worker import main as serve
            from bench.runner.plan import encoded, plan

        interpreters.fork(ready, jobs, serve)
        planned = plan(encoded(chosen, said=say))
        warn(planned.notices)
        summary = execute(planned, workers=workers(planned, ready=ready))
    for line in in_words((*summary.skipped, *summary.failed)):
        click.echo(line, err=True)
    if summary.stopped:
        click.echo("bench: stopped at the first failure; the same command goes on where it stopped", err=True)
        ctx.exit(1)
    click.echo(f"{cells(summary.planned - len(summary.failed))} in {summary.folder}")
    click.echo(f"next: bench report {summary.folder}")
    if summary.failed:
        click.echo(f"bench: {cells(len(summary.failed))} failed; the same command tries again", err=True)
        ctx.exit(1)
