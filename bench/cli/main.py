"""The command ``bench``. Heavy imports are inside the commands, so that ``bench --help`` is quick."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from bench.utils.errors import BenchError, Notice
from bench.utils.interrupts import listening_for_stop, stop_asked
from bench.utils.threads import wait_briefly
from bench.utils.version import __version__


class _Group(click.Group):
    """Turns errors a user can put right into one line and exit status 2, and Ctrl-C into one line and 130."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*args, **more)
        except click.UsageError as error:
            raise _in_one_line(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        with listening_for_stop(), _notices_in_one_line():
            try:
                return super().invoke(ctx)
            except (Exception, KeyboardInterrupt) as error:
                # A library that is being imported may turn the interrupt into an error of its own.
                if stop_asked():
                    click.echo("bench: stopped; the same command goes on where it stopped", err=True)
                    ctx.exit(130)
                if isinstance(error, BenchError):
                    click.echo(f"bench: {error}", err=True)
                    ctx.exit(2)
                if isinstance(error, click.UsageError):
                    raise _in_one_line(error) from None
                raise


@contextmanager
def _notices_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *more: Any, **named: Any) -> None:
            if issubclass(category, Notice):
                click.echo(f"warning: {message}", err=True)
            else:
                others(message, category, *more, **named)

        # As the documentation of the module has it done.
        warnings.showwarning = show
        yield


class _OneLine(click.ClickException):
    """A command line that makes no sense."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as other errors are."""
        click.echo(f"bench: {self.message}", file=file, err=file is None)


def _in_one_line(error: click.UsageError) -> click.ClickException:
    # Without a command there is nothing wrong: newer releases of click raise the help itself.
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        return error
    where = f"; see `{error.ctx.command_path} --help`" if error.ctx is not None else ""
    return _OneLine(error.format_message().rstrip(".") + where)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bench")
def main() -> None:
    """Compare retrieval classifiers over frozen image-text features."""
    wait_briefly()


@main.command(name="list")
@click.argument("kind", type=click.Choice(["methods", "scenarios", "datasets", "experiments"]))
@click.option("--json", "as_json", is_flag=True, help="A list of objects, each with a name.")
def list_(kind: str, as_json: bool) -> None:
    """List what there is."""
    from bench.cli import listing

    found = getattr(listing, kind)()
    click.echo(json.dumps(found, indent=2, default=str) if as_json else listing.as_text(found))


from bench.cli.data import audit, data  # noqa: E402 - the group they join is above
from bench.cli.memory import memory  # noqa: E402
from bench.cli.results import explain, export, report, verify  # noqa: E402
from bench.cli.run import merge, perf, run  # noqa: E402

main.add_command(run)
main.add_command(merge)
main.add_command(report)
main.add_command(explain)
main.add_command(verify)
main.add_command(export)
main.add_command(data)
main.add_command(memory)
main.add_command(audit)
main.add_command(perf)


if __name__ == "__main__":
    sys.exit(main())
