"""Splits of a data set: how they may be called, and which of them serve as support, queries and validation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.utils.errors import BenchError, suggest
from bench.utils.names import file_name
from bench.utils.random import Stream

_USUAL = {
    "support": ("train", "training", "trainval", "support"),
    "query": ("test", "testing", "query", "queries"),
    "validation": ("val", "valid", "validation", "dev", "development"),
}
_ROLE = {name: role for role, names in _USUAL.items() for name in names}
_SET = re.compile(r"(.+?)[-_ ]?(?:set|split|(?:19|20)\d\d)")
_SHOTS = re.compile(r"shots?[-_ ]?(\d{1,6})|(\d{1,6})[-_ ]?shots?")
_PACKS_OWN = ("texts", "prompts")
"""Files of a pack that are no splits."""


def shots(split: str) -> int | None:
    """Return n for a split called ``shotN`` or ``N-shot``, in any case."""
    found = _SHOTS.fullmatch(split.casefold())
    return int(found[1] or found[2]) if found else None


def usual_role(split: str) -> str | None:
    """Return the role that a split's name tells, in any case: ``Train`` is support, ``dev`` and ``val2017`` validation.

    None for other names, ``memory`` and ``shotN`` among them; see :func:`choose_roles` for the latter.
    """
    name = split.casefold()
    as_set = _SET.fullmatch(name)
    return _ROLE.get(name) or (_ROLE.get(as_set[1]) if as_set else None)


def is_split(name: str) -> bool:
    """Return whether a folder of this name is a split and not a class."""
    return usual_role(name) is not None or shots(name) is not None or name.casefold() == "memory"


def check_splits(names: Iterable[str], origin: str) -> None:
    """Raise for splits whose names cannot be those of files of one pack.

    Raises
    ------
    BenchError
        For what :func:`bench.utils.names.file_name` refuses, ``texts`` and ``prompts``, which are files of the pack
        itself, and names that differ only in case, which are one file on some systems.
    """
    seen: dict[str, str] = {}
    for name in names:
        file_name(name, f"{origin}: split")
        if name.casefold() in _PACKS_OWN:
            raise BenchError(f"{origin}: split {name!r} has the name of a pack's own file; call it otherwise")
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise BenchError(f"{origin}: splits {other!r} and {name!r} differ only in case; rename or join them")


def choose_roles(
    splits: Iterable[str], given: Mapping[str, Sequence[str]], warnings: list[str] | None = None
) -> dict[str, list[str]]:
    """Return which splits serve as support, query and validation: those given, else by their usual names.

    Support is called ``train``, ``training``, ``trainval`` or ``support``, else it is the largest ``shotN``; queries
    are ``test``, ``testing``, ``query`` or ``queries``; validation is ``val``, ``valid``, ``validation``, ``dev`` or
    ``development``, and serves as queries where there are no others. ``train_set``, ``test split``, ``train2017`` and
    the like are the same, and so are upper and lower case. Where every split is a ``shotN``, those that are not the
    support serve as queries, with a warning. What the names do not tell is never guessed.

    Parameters
    ----------
    given : mapping of str to sequence of str
        Splits by role. It may also name those of the ``memory``, which are checked and have no role.
    warnings : list of str, optional
        Receives the splits that serve in no role.

    Raises
    ------
    BenchError
        For an unknown split, for support or queries that neither an option nor a name tells, for two splits whose names
        tell one role, and for splits that are both support and queries.
    """
    names = list(splits)
    for role, wanted in given.items():
        for split in wanted:
            if split not in names:
                raise BenchError(f"--{role} {split!r} is no split{suggest(split, names)}")
    told = {role: list(wanted) for role, wanted in given.items() if wanted}
    taken = {split for role, wanted in told.items() if role != "memory" for split in wanted}
    free = [name for name in names if name not in taken]
    support = told.get("support") or _support(free)
    query = told.get("query") or _only("query", free)
    validation = told.get("validation") or _only("validation", free)
    if not query and "validation" not in told:
        query, validation = validation, []
    if not query and support and shots(support[0]) is not None and (rest := _other_shots(free, support)):
        query = rest
        if warnings is not None:
            warnings.append(f"no split is query by its name: {', '.join(query)} serve, beside {support[0]} as support")
    for role, found in (("support", support), ("query", query)):
        if not found:
            raise BenchError(
                f"no split is {role} by its name, there are {', '.join(map(repr, names))}; name one with --{role}"
                if len(names) > 1
                else f"the one split {names[0]!r} cannot be both support and queries; they need splits of their own: "
                "name them with --support and --query, or cut it with --hold-out 0.2"
            )
    if set(query) & set(support):
        raise BenchError(
            "support and queries need splits of their own; name them with --support and --query, or cut one split "
            "with --hold-out 0.2"
        )
    used = {*support, *query, *validation, *told.get("memory", [])}
    idle = [name for name in names if name not in used and shots(name) is None and name.casefold() != "memory"]
    if idle and warnings is not None:
        warnings.append(f"{', '.join(map(repr, idle))} has no role; give it one with --query, --validation or --memory")
    return {"support": support, "query": query, "validation": validation}


def _support(names: Sequence[str]) -> list[str]:
    found = _only("support", names)
    numbered = [(count, name) for name in names if (count := shots(name)) is not None]
    return found or ([max(numbered)[1]] if numbered else [])


def _other_shots(names: Sequence[str], support: Sequence[str]) -> list[str]:
    """Return the splits called ``shotN`` besides the support, if all of ``names`` are called so."""
    rest = [name for name in names if name not in support]
    return rest if all(shots(name) is not None for name in rest) else []


def _only(role: str, names: Sequence[str]) -> list[str]:
    found = [name for name in names if usual_role(name) == role]
    if len(found) > 1:
        raise BenchError(
            f"splits {', '.join(map(repr, found))} are all {role} by their names; say which with --{role}, joined by +"
        )
    return found


def held_out(labels: np.ndarray, share: float, n_splits: int) -> np.ndarray:
    """Return which rows of the one split there is become queries, bool [n].

    Of each class ``share``, at least one row, and never all: a class with one row stays with the support.

    Raises
    ------
    BenchError
        For a share that is none, data with splits of their own, and classes of which none has two rows.
    """
    if n_splits != 1 or not 0 < share < 1:
        raise BenchError("--hold-out takes a share between 0 and 1, and data without splits of their own")
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels).tolist():
        rows = np.flatnonzero(labels == label)
        order = Stream(0).child("hold-out", label).permutation(len(rows))
        test[rows[order[: min(max(1, round(share * len(rows))), len(rows) - 1)]]] = True
    if not test.any():
        raise BenchError("--hold-out needs two images of a class, and no class has more than one; give more images")
    return test
