"""What is known of the items of a pack: where each comes from, under which licence and keyword, and since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.dataset import Dataset
from bench.data.manifest import read_manifest
from bench.data.names import known
from bench.data.pack import decode_strings
from bench.data.pack_files import MANIFEST
from bench.data.provenance import PROVENANCE_FILE, read_provenance
from bench.data.versions.log import read_log
from bench.data.versions.store import Store
from bench.utils.errors import BenchError
from bench.utils.names import expand

KINDS = ("source", "licence", "keyword", "class", "item")
"""What items can be named by."""


@dataclass(frozen=True)
class Fact:
    """What is known of an item; an empty text is nothing."""

    source: str = ""
    licence: str = ""
    keyword: str = ""
    added: str = ""


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of the items of a pack.

    Attributes
    ----------
    by_item : mapping of str to Fact
        By the id that an item has in its split.
    licence : str
        Of the whole pack, for items of which no other is known.
    """

    by_item: Mapping[str, Fact]
    licence: str = ""

    def of(self, item: str) -> Fact:
        """Return what is known of an item; one of a memory made of splits is called ``SPLIT:ID``."""
        found = self.by_item.get(item) or self.by_item.get(item.partition(":")[2]) or Fact()
        return found if found.licence else Fact(found.source, self.licence, found.keyword, found.added)


def folder_of(wanted: str | Path | Dataset) -> Path | None:
    """Return the folder of a pack by its name or path; None for a data set that is no pack."""
    if isinstance(wanted, Dataset):
        return None
    path = expand(Path(wanted))
    if (path / MANIFEST).is_file():
        return path
    entry = known().get(str(wanted))
    return entry.folder if entry is not None else None


def facts_of(wanted: str | Path | Dataset) -> Facts:
    """Return what the pack of a data set says of its items: its provenance, and the log of what was added."""
    folder = folder_of(wanted)
    if folder is None:
        return Facts({}, wanted.card.licence if isinstance(wanted, Dataset) else "")
    by_item = _provenance(folder)
    store = Store(folder)
    for entry in read_log(folder):
        if entry.chunk:
            fact = Fact(entry.source, entry.licence, added=entry.time)
            by_item |= dict.fromkeys(decode_strings(store.arrays(entry.chunk)["ids"]).tolist(), fact)
    return Facts(by_item, str(read_manifest(folder).get("licence", "")))


def _provenance(folder: Path) -> dict[str, Fact]:
    content = read_provenance(folder / PROVENANCE_FILE)
    return {
        str(entry["id"]): Fact(*(str(entry.get(key, "")) for key in ("source", "licence", "keyword", "retrieved")))
        for part in ("images", "texts")
        for entry in content.get(part, [])
        if "id" in entry
    }


def parse_names(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return kinds and names of ``KIND:NAME``, such as ``source:flickr``."""
    found = []
    for line in lines:
        kind, colon, name = line.partition(":")
        if not colon or kind not in KINDS or not name:
            kinds = ", ".join(f"{kind}:NAME" for kind in KINDS)
            raise BenchError(f"{line!r} names no items; write one of {kinds}")
        found.append((kind, name))
    return found
