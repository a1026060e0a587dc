"""The command groups ``bench data`` and ``bench data cache``."""

from __future__ import annotations

import click

from bench.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy("bench.cli.data_cache:list_cache", "List what is kept."),
        "prune": Lazy(
            "bench.cli.data_cache:prune", "Remove damaged and half-written files, and what --idle-days or --all say."
        ),
        "verify": Lazy("bench.cli.data_cache:verify", "Read everything back and compare it with its hashes."),
    },
)
def cache() -> None:
    """Look after encoded features (BENCH_CACHE, or the user's cache folder)."""


@click.group(
    cls=LazyGroup,
    lazy={
        "encode": Lazy("bench.cli.data_images:encode", "Encode images into a feature pack."),
        "import": Lazy("bench.cli.data_features:import_", "Make a feature pack of .npz, .npy or .safetensors FILES."),
        "inspect": Lazy(
            "bench.cli.data_features:inspect_",
            "Describe a data set and check its hashes, shapes, norms, labels and overlaps.",
        ),
        "prepare": Lazy(
            "bench.cli.data_images:prepare",
            "Check that a standard data set is laid out as it should be, say what is missing, and encode it.",
        ),
        "table": Lazy("bench.cli.data_table:table", "Print a table of the founding paper for data at hand."),
    },
)
def data() -> None:
    """Make and look at data sets."""


data.add_command(cache)
