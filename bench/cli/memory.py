"""The command group ``bench memory``."""

from __future__ import annotations

import click

from bench.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "build": Lazy(
            "bench.cli.memory_packs:build",
            "Build a pack of images and sentences found by class names; a stopped build goes on where it stopped.",
        ),
        "inspect": Lazy(
            "bench.cli.data_features:inspect_",
            "Describe a data set and check its hashes, shapes, norms, labels and overlaps.",
        ),
        "merge": Lazy("bench.cli.memory_packs:merge", "Join memories of one encoder's space."),
        "subset": Lazy("bench.cli.memory_packs:subset", "Keep a part of a memory."),
    },
)
def memory() -> None:
    """Build memories of images and sentences found by class names."""
