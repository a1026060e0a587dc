"""``bench push`` and ``bench pull``: runs, packs and classifiers at an address."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.options import PATH
from bench.sharing.listing import Listing
from bench.sharing.transfer import pull as fetch
from bench.sharing.transfer import push as send
from bench.utils.names import printable


@click.command()
@click.argument("folder", type=PATH)
@click.argument("address")
@click.option("--replace", is_flag=True, help="Write over what was pushed there before.")
def push(folder: Path, address: str, replace: bool) -> None:
    """Copy a run, a folder of runs, a pack or a classifier to an ADDRESS, with the hash of every file.

    An ADDRESS is a folder, hf://datasets/NAME/REPOSITORY, or any other of fsspec; needs `pip install
    'retrieval-bench[share]'`.
    """
    made = send(folder, address, replace=replace, said=_said)
    click.echo(f"{address}: {_words(made)}")
    click.echo(f"next: bench pull {address} FOLDER")


@click.command()
@click.argument("address")
@click.argument("folder", type=PATH)
def pull(address: str, folder: Path) -> None:
    """Copy what was pushed to an ADDRESS into a new FOLDER, after the hash of every file was checked."""
    made = fetch(address, folder, said=_said)
    click.echo(f"{folder}: {_words(made)}")
    if made.kind in ("run", "runs"):
        click.echo(f"next: bench report {folder}")


def _said(name: str) -> None:
    if sys.stderr.isatty():
        click.echo(printable(name), err=True)


def _words(made: Listing) -> str:
    files = f"{len(made.files)} file{'s' * (len(made.files) != 1)}"
    return f"{made.kind}, {files}, {made.size / 2**20:.1f} MiB"
