"""What ``bench audit`` says beside the duplicates themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.dataset import Dataset
from bench.data.duplicates import Audit, Overlap
from bench.data.names_in_texts import classes_named
from bench.reports.metrics.leak_bounds import unseen_leaks
from bench.utils.names import printable
from bench.utils.texts import read_text

if TYPE_CHECKING:
    import pandas as pd

_LONGEST = 64 << 20


def asked(found: Audit) -> Iterator[Overlap]:
    """Yield the overlaps of queries with what a method may learn or retrieve from."""
    yield from (overlap for overlap in found.overlaps if overlap.of == "query" and overlap.within != "validation")


def bounds(found: Audit, planted: tuple[int, int]) -> Iterator[str]:
    """Yield a line an overlap of queries: how many more may have a leak that was not found."""
    for overlap in asked(found):
        most = unseen_leaks(len(overlap.pairs), overlap.items, *planted)
        yield (
            f"queries in {overlap.within}: {len(overlap.pairs)} of {overlap.items} found; at a recall of "
            f"{planted[0]} of {planted[1]}, at most {100 * most:.2g} % more have one of that kind unseen (95 %), and "
            "nothing is said of others"
        )


def naming_of(path: Path, dataset: Dataset) -> dict[str, Any]:
    """Return how many lines of a file name a class of a data set, of each class, and of its unseen classes."""
    lines = [line for line in read_text(path, "another file", longest=_LONGEST).splitlines() if line.strip()]
    counts: dict[str, int] = {}
    unseen, some, told = set(dataset.class_split.get("unseen", ())), 0, 0
    for labels in classes_named(lines, dataset.class_names):
        some += bool(labels)
        told += bool(unseen & set(labels))
        for label in labels:
            counts[dataset.class_names[label]] = counts.get(dataset.class_names[label], 0) + 1
    found: dict[str, Any] = {"texts": len(lines), "name_a_class": some, "classes": counts}
    return found | ({"name_an_unseen_class": told} if unseen else {})


def named_lines(naming: Mapping[str, Any], show: int) -> Iterator[str]:
    """Yield lines for a terminal, with the classes that are named most."""
    counts: Mapping[str, int] = naming["classes"]
    line = f"texts: {naming['name_a_class']} of {naming['texts']} name a class, {len(counts)} classes in all"
    unseen = naming.get("name_an_unseen_class")
    yield line if unseen is None else f"{line}; {unseen} name an unseen class"
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    yield from (printable(f"    {name}  {count}") for name, count in ordered[:show])


def margins_of(found: Audit) -> pd.DataFrame:
    """Return a row a labelled image: ``part``, ``item``, ``class``, ``margin`` and ``duplicate_of`` (of a query)."""
    import pandas as pd

    copies = {(o.within, pair.other): pair.item for o in asked(found) for pair in o.pairs}
    parts = [
        pd.DataFrame(
            {
                "part": labels.part,
                "item": labels.ids,
                "class": labels.names,
                "margin": labels.margins,
                "duplicate_of": [copies.get((labels.part, str(item)), "") for item in labels.ids],
            }
        )
        for labels in found.labels
    ]
    empty = pd.DataFrame(columns=["part", "item", "class", "margin", "duplicate_of"])
    return pd.concat(parts, ignore_index=True) if parts else empty
