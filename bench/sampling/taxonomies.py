"""Trees of classes as others publish them: JSON of ancestors, WordNet's nouns, iNaturalist's categories."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.names import plain, shown
from bench.utils.texts import read_text

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
"""Of a category of iNaturalist, from the root down."""
_SYNSET = re.compile(r"\bn(\d{8})\b")
_NOUN = re.compile(r"\d{8} \d\d n ")
_WANTED = "a JSON file of ancestors or of iNaturalist's categories, or WordNet's data.noun"


def read_tree(path: Path, names: Sequence[str], dataset: str, synsets: Sequence[str | None]) -> list[list[str]]:
    """Return the ancestors of classes, from the root's child to the parent.

    A JSON object of lists names the ancestors of each class. An annotation file of iNaturalist (or its list of
    categories) has the ranks of each species from kingdom to genus; a class is one by its name, its folder's or its
    common name. WordNet's ``data.noun`` has each synset on a line that begins with its place in the file, in bytes; a
    class is a synset by its number, else the one noun that is called like it. Of several hypernyms the first counts,
    and those that hold one branch of the classes alone are left out.

    Parameters
    ----------
    names : sequence of str
        What the classes are called.
    synsets : sequence of str or None
        ``n01440764`` where a class's synset is told.

    Raises
    ------
    BenchError
        If the file cannot be read or leaves a class out.
    """
    text = read_text(path, _WANTED)
    if path.suffix == ".noun" or any(_NOUN.match(line) for line in text[:8192].splitlines()):
        return _nouns(path, text.encode(), names, dataset, synsets)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise BenchError(f"hierarchy.tree {path} cannot be read ({one_line(error)}); give {_WANTED}") from None
    categories = content.get("categories") if isinstance(content, dict) else content
    if isinstance(categories, list) and categories and all(isinstance(one, dict) for one in categories):
        return _taxa(path, categories, names, dataset)
    if not isinstance(content, dict):
        raise BenchError(f"hierarchy.tree {path} is no JSON object; give the ancestors of each class by its name")
    found = _of_each(names, content.get, path, dataset)
    for name, ancestors in zip(names, found, strict=True):
        if not isinstance(ancestors, list) or not all(isinstance(one, str) for one in ancestors):
            raise BenchError(f"hierarchy.tree {path}: {shown(name)} needs a list of the names of its ancestors")
    return found


def read_synsets(path: Path, names: Sequence[str], dataset: str) -> list[str]:
    """Return the synset of each class from lines ``n01440764 tench, Tinca tinca``.

    Classes are found by the name before the comma. A file that does not name them all and has as many lines as there
    are classes is taken in the order of their labels, unless a name that both have stands elsewhere.

    Raises
    ------
    BenchError
        If the file cannot be read, or neither names the classes nor has a line for each.
    """
    ids, called = [], []
    for number, line in enumerate(read_text(path, "lines of synset and name").splitlines(), 1):
        if not line.strip():
            continue
        first, _, rest = line.replace("\t", " ").strip().partition(" ")
        if not _SYNSET.fullmatch(first):
            raise BenchError(f"hierarchy.synsets {path}, line {number}: {shown(first)} is no synset such as n01440764")
        ids.append(first)
        called.append(plain(rest.partition(",")[0]))
    wanted = [plain(name) for name in names]
    by_name = {name: ids[place] for place, name in enumerate(called) if called.count(name) == 1}
    if all(name in by_name for name in wanted):
        return [by_name[name] for name in wanted]
    place_of = {name: place for place, name in enumerate(wanted) if wanted.count(name) == 1}
    in_order = all(place_of.get(name, place) == place for place, name in enumerate(called) if name in by_name)
    if len(ids) == len(names) and in_order:
        return ids
    missing = next(name for name, one in zip(names, wanted, strict=True) if one not in by_name)
    raise BenchError(
        f"hierarchy.synsets {path} has {len(ids)} lines and none for {shown(missing)} of {dataset}'s {len(names)} "
        "classes; give a line SYNSET NAME for each, or synsets in the order of their labels"
    )


def _taxa(path: Path, categories: Sequence[Mapping[str, Any]], names: Sequence[str], dataset: str) -> list[list[str]]:
    ways: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for category in categories:
        for key in {plain(str(category.get(k, ""))) for k in ("name", "image_dir_name", "common_name")} - {""}:
            ways[key].append(category)

    def found(name: str) -> Mapping[str, Any] | None:
        same = ways.get(plain(name), [])
        # A common name can be that of several species; the name proper is one's alone.
        proper = [one for one in same if plain(str(one.get("name", ""))) == plain(name)]
        return (proper or same)[0] if len(proper or same) == 1 else None

    paths = []
    for name, category in zip(names, _of_each(names, found, path, dataset), strict=True):
        ranks = [category.get(rank) for rank in RANKS]
        if not all(isinstance(rank, str) and rank for rank in ranks):
            missing = next(rank for rank, value in zip(RANKS, ranks, strict=True) if not value)
            raise BenchError(f"hierarchy.tree {path}: the category of {shown(name)} has no {missing}")
        paths.append([str(rank) for rank in ranks])
    return paths


def _nouns(
    path: Path, content: bytes, names: Sequence[str], dataset: str, synsets: Sequence[str | None]
) -> list[list[str]]:
    by_word: dict[str, list[int]] = {}

    def place(name: str, synset: str | None) -> int | None:
        told = _SYNSET.search(synset or name)
        if told:
            return int(told[1])
        if not by_word:
            by_word.update(_places_by_word(content))
        same = by_word.get(plain(name), [])
        if len(same) > 1:
            raise BenchError(
                f"{shown(name)} is {len(same)} synsets of {path}, n{same[0]:08} first; say by hierarchy.synsets which "
                "one it is"
            )
        return same[0] if same else None

    lookup = dict(zip(names, synsets, strict=True))
    starts = _of_each(names, lambda name: place(name, lookup[name]), path, dataset)
    return _branching([_hypernyms(path, content, start) for start in starts])


def _hypernyms(path: Path, content: bytes, start: int) -> list[str]:
    """Return the synsets above one, the highest first; at each the first hypernym counts."""
    above: dict[int, str] = {}
    place: int | None = start
    while place is not None:
        line = content[place : content.find(b"\n", place)].decode(errors="replace")
        words = line.partition(" | ")[0].split()
        try:
            number, n_words = int(words[0]), int(words[3], 16)
            pointers = words[5 + 2 * n_words :]
            up = [int(pointers[i + 1]) for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")]
        except (ValueError, IndexError):
            number = -1
        if number != place or place in above:
            raise BenchError(
                f"hierarchy.tree {path} has no synset n{place:08} with what is above it; those of ImageNet are "
                "WordNet 3.0's"
            )
        above[place] = f"{words[4]} {words[0]}"
        place = up[0] if up else None
    return list(above.values())[:0:-1]


def _places_by_word(content: bytes) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for line in content.decode().splitlines():
        if _NOUN.match(line):
            words = line.split(" ", 4 + 2 * int(line[14:16], 16))
            for word in {plain(one) for one in words[4:-1:2]}:
                found[word].append(int(words[0]))
    return found


def _branching(paths: Sequence[list[str]]) -> list[list[str]]:
    """Return paths without the nodes that have one child."""
    children: dict[str, set[object]] = defaultdict(set)
    for row, path in enumerate(paths):
        for node, child in zip(path, [*path[1:], row], strict=True):
            children[node].add(child)
    return [[node for node in path if len(children[node]) > 1] for path in paths]


def _of_each(names: Sequence[str], find: Callable[[str], Any], path: Path, dataset: str) -> list[Any]:
    """Return what is found for each class.

    Raises
    ------
    BenchError
        If there is nothing for some.
    """
    found = [find(name) for name in names]
    missing = [name for name, one in zip(names, found, strict=True) if one is None]
    if missing:
        raise BenchError(
            f"hierarchy.tree {path} leaves out {len(missing)} classes of {dataset}, {shown(missing[0])} first; add "
            "them, or restrict the scenario to other classes"
        )
    return found
