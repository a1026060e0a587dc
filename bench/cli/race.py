"""``bench choose --data``: a race of methods on labelled images, whose winner is fitted and kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from bench.classifier import Classifier
from bench.cli.fit import summary
from bench.cli.options import notices_alone, terminal_width
from bench.device.choose import choose_device
from bench.encoders import load_encoder
from bench.racing.candidates import METHODS, ROUNDS, field, run
from bench.racing.words import told
from bench.reports.tables.console import text_lines
from bench.runner.options import split_names
from bench.utils.durations import seconds_of


def race(
    data: str,
    budget: str,
    *,
    encoder: str | None,
    methods: str,
    settings: int,
    memory: Sequence[str],
    out: Path | None,
    seed: int,
    device: str,
) -> None:
    """Race methods on the labelled images of a data set, say how it ended, and keep the winner in ``out``."""
    seconds = seconds_of(budget)
    where = choose_device(device)
    with notices_alone():
        if out is not None:
            Classifier().require_free(out)
        opened = load_encoder(encoder, device=where) if encoder is not None else None
        entered = field(
            data,
            opened,
            methods=split_names(methods) if methods else METHODS,
            settings=settings,
            memory=memory,
            seed=seed,
            device=where,
        )
        start = time.monotonic()
        outcome = run(entered, seconds)
        took = time.monotonic() - start
        for line in told(outcome, ROUNDS, took):
            click.echo("\n".join(text_lines(line, terminal_width())))
        if out is None:
            click.echo(f"keep it: --out FOLDER, or bench fit --method {outcome.winner.partition('(')[0]} --data {data}")
            return
        made = Classifier(entered.candidates[outcome.winner], encoder=opened, seed=seed, device=device)
        made.fit(data, memory=memory).save(out)
    click.echo(summary(made, out))
