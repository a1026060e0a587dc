"""The command ``bench``: what it consists of, and how its errors are shown."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import click

from bench.cli import fish  # noqa: F401 - importing it is what registers it
from bench.cli.data import data
from bench.cli.lazy import Lazy, LazyGroup
from bench.cli.memory import memory
from bench.utils.errors import BenchError, Notice, is_full_device, one_line
from bench.utils.interrupts import listening_for_stop, stop_requested
from bench.utils.names import printable
from bench.utils.threads import wait_briefly
from bench.utils.version import __version__

_LONGEST = 1000
"""Characters of a message."""


class _Group(LazyGroup):
    """Turns errors a user can put right into one line and exit status 2, and Ctrl-C into one line and 130."""

    def main(self, *args: Any, **more: Any) -> Any:
        """Run a command; what the system refuses, a full disk, GPU or too little memory, is one line as well."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # names of files need not be text
        try:
            os.getcwd()  # some libraries end the process where there is none
            return super().main(*args, **more)
        except (OSError, MemoryError, ImportError, RuntimeError) as error:
            line = _refused_by_the_system(error)
            if line is None:
                raise
            with suppress(OSError):
                click.echo(line, err=True)
            _abandon_unwritten()
            sys.exit(2)

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
                if stop_requested():
                    click.echo("bench: stopped; the same command goes on where it stopped", err=True)
                    ctx.exit(130)
                if isinstance(error, BenchError):
                    click.echo(_told(error), err=True)
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
                click.echo(printable(f"warning: {message}"), err=True)
            else:
                others(message, category, *more, **named)

        # As the documentation of the module has it done.
        warnings.showwarning = show
        yield


def _refused_by_the_system(error: BaseException) -> str | None:
    """Return what the system refused, on one line; None for an error that is none of its."""
    text = one_line(error)
    if is_full_device(error):
        return "bench: the GPU is full; use a larger GPU (--device cuda:N) or --device cpu, or end what else uses it"
    if isinstance(error, MemoryError) or any(words in text for words in ("map segment", "allocate memory")):
        return "bench: there is too little memory (or address space) for this; free some, or raise the limit"
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    try:
        os.getcwd()
    except OSError:
        return "bench: the working folder is gone; go to one that is there and run again"
    where = f" ({error.filename})" if error.filename is not None else ""
    return printable(f"bench: {error.strerror}{where}; see to it and run again")


def _abandon_unwritten() -> None:
    # What could not be written is still waiting, and would fail once more when the process ends.
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _told(error: BenchError) -> str:
    # What names and files hold is part of many messages: no line of it, and nothing that a terminal obeys, gets out.
    return _line(" ".join(str(error).split()))


def _line(text: str) -> str:
    # Of a word of megabytes the beginning tells enough.
    return printable(f"bench: {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}")


class _OneLine(click.ClickException):
    """A command line that makes no sense."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as other errors are."""
        click.echo(_line(self.message), file=file, err=file is None)


def _in_one_line(error: click.UsageError) -> click.ClickException:
    # Without a command there is nothing wrong: newer releases of click raise the help itself.
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        return error
    where = f"; see `{error.ctx.command_path} --help`" if error.ctx is not None else ""
    return _OneLine(error.format_message().rstrip(".") + where)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    lazy={
        "audit": Lazy(
            "bench.cli.data_features:audit",
            "Find duplicates between memory, support and queries of a data set, and labelled images that look "
            "misplaced.",
        ),
        "choose": Lazy(
            "bench.cli.choose:choose",
            "Say which method to choose under a budget: the best that keeps it, what is as good, and the next step's "
            "price.",
        ),
        "edit": Lazy(
            "bench.cli.edit:edit",
            "Change a kept classifier exactly: as if it had been fitted with, or had never seen, the items.",
        ),
        "certify": Lazy(
            "bench.cli.certify:certify",
            "Say how many items of the memory must be removed, relabelled or inserted to change the answers of a RUN.",
        ),
        "explain": Lazy(
            "bench.cli.explain:explain",
            "Say why the methods of a RUN answered a query as they did, and what an edited memory would change.",
        ),
        "export": Lazy(
            "bench.cli.compare:export",
            "Write a RUN as the files of an experiment tracker, offline.",
        ),
        "fit": Lazy(
            "bench.cli.fit:fit", "Fit a classifier and keep it in a folder, with its card; `bench predict` asks it."
        ),
        "list": Lazy("bench.cli.listing:list_", "List what there is."),
        "membership": Lazy(
            "bench.cli.membership:membership",
            "Test whether items can be found in the states of a RUN's methods: left in, and after they were removed.",
        ),
        "merge": Lazy(
            "bench.cli.merge:merge",
            "Put the shards of one run together: FOLDERS are what `bench run --shard` wrote, or hold it.",
        ),
        "migrate": Lazy(
            "bench.cli.migrate:migrate",
            "Say what a linear map, learnt on N items encoded twice, keeps of encoding the memory of a PACK again.",
        ),
        "perf": Lazy(
            "bench.cli.perf:perf",
            "Measure this machine's limits, and the harness beside what one would use instead; takes about a minute.",
        ),
        "predict": Lazy(
            "bench.cli.predict:predict",
            "Say which class each of the INPUTS shows: images, folders of images, or files of features.",
        ),
        "pull": Lazy(
            "bench.cli.share:pull",
            "Copy what was pushed to an ADDRESS into a new FOLDER, after the hash of every file was checked.",
        ),
        "push": Lazy(
            "bench.cli.share:push",
            "Copy a run, a folder of runs, a pack or a classifier to an ADDRESS, with the hash of every file.",
        ),
        "receipt": Lazy(
            "bench.cli.receipt:receipt",
            "Check a RECEIPT of `bench edit` against a CLASSIFIER: that the items are gone, from its memory and its "
            "state.",
        ),
        "replay": Lazy(
            "bench.cli.replay:replay",
            "Answer the queries of a RUN from another version of its data, and say what changes.",
        ),
        "report": Lazy(
            "bench.cli.report:report", "Summarise runs: a table here; report.html, tables and figures in OUT."
        ),
        "run": Lazy("bench.cli.run:run", "Run a comparison; a stopped run goes on where it stopped."),
        "serve": Lazy("bench.cli.serve:serve", "Answer over HTTP which class an image shows: POST it to /v1/predict."),
        "table": Lazy(
            "bench.cli.table:table",
            "Write a paper's table: methods by data sets, a block for each condition, of one metric.",
        ),
        "value": Lazy(
            "bench.cli.value:value",
            "Say what the labelled images in the memory of a RUN are worth, by source, class, keyword, licence or "
            "item.",
        ),
        "verify": Lazy(
            "bench.cli.compare:verify", "Check a RUN of a paper's table or figure against the published numbers."
        ),
        "view": Lazy(
            "bench.cli.view:view",
            "Show runs as a local page, live while they go: progress, leaderboard, curves, answers side by side and "
            "edited.",
        ),
    },
)
@click.version_option(__version__, prog_name="bench")
def main() -> None:
    """Compare retrieval classifiers over frozen image-text features."""
    wait_briefly()


main.add_command(data)
main.add_command(memory)


if __name__ == "__main__":
    sys.exit(main())
