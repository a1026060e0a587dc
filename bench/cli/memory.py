"""The command group ``bench memory``."""

from __future__ import annotations

import click

from bench.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "add": Lazy(
            "bench.cli.memory_history:add",
            "Add images, folders CLASS/IMAGE, or files of features with --class to a PACK.",
        ),
        "build": Lazy(
            "bench.cli.memory_packs:build",
            "Build a pack of images and sentences found by class names; a stopped build goes on where it stopped.",
        ),
        "checkout": Lazy(
            "bench.cli.memory_history:checkout",
            "Put a VERSION of a PACK into its folder, at one moment; the log stays.",
        ),
        "diff": Lazy(
            "bench.cli.memory_history:diff",
            "Print the items that differ between two versions of a PACK; without AFTER, from the one in its folder.",
        ),
        "inspect": Lazy(
            "bench.cli.data_features:inspect_",
            "Describe a data set and check its hashes, shapes, norms, labels and overlaps.",
        ),
        "log": Lazy(
            "bench.cli.memory_history:log",
            "Print what was changed in a PACK, oldest first; * marks the version that lies in its folder.",
        ),
        "merge": Lazy("bench.cli.memory_packs:merge", "Join memories of one encoder's space."),
        "relabel": Lazy("bench.cli.memory_history:relabel", "Put items of a PACK under other classes."),
        "remove": Lazy(
            "bench.cli.memory_history:remove",
            "Remove ITEMS from a PACK by their ids, or all of a class or source; queries stay.",
        ),
        "revert": Lazy(
            "bench.cli.memory_history:revert", "Undo the edit that made a VERSION of a PACK, as a further edit."
        ),
        "subset": Lazy("bench.cli.memory_packs:subset", "Keep a part of a memory."),
    },
)
def memory() -> None:
    """Build memories, change them, and go back to what they were."""
