"""Which items' removal changes an answer: found by asking an edited memory, so that what is said is so."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bench.explain.scene import Answer, Scene
from bench.functional.classwise import normalise

TRIED = 16
"""Items that are tried one by one."""


@dataclass(frozen=True, kw_only=True)
class Removals:
    """What removals of memory items do to one answer.

    Attributes
    ----------
    alone : mapping of str to int
        Items whose removal alone changes the answer, with the class that it becomes.
    together : tuple of str
        Items whose removal together changes it. Empty if none was found.
    becomes : int or None
        The class that the answer becomes without them.
    fewest : bool
        Whether no smaller number does, by the method's certificate; else they were found greedily.
    tried : int
        Edited memories that were asked.
    complete : bool
        Whether every item that was to be tried was tried in time.
    """

    alone: Mapping[str, int]
    together: tuple[str, ...]
    becomes: int | None
    fewest: bool
    tried: int
    complete: bool


def removals(
    scene: Scene,
    label: str,
    query: str,
    *,
    exclude: Collection[str] = (),
    relabel: Mapping[str, int] | None = None,
    singly: bool = True,
    most: int = TRIED,
    seconds: float = 5.0,
) -> Removals:
    """Return which removals, after an intervention or without one, change a method's answer to a query.

    Where the method can name the fewest items, and nothing was edited before, these are asked for. Else the items with
    the largest weight for the answer are tried, one by one and then together, the strongest first; of
    a method that retrieves none, the labelled images of the answer's class that are nearest to the query.

    Parameters
    ----------
    singly : bool
        Whether items are tried one by one; a certificate may have said that no single one changes the answer.
    most : int
        Items that are tried, and the most that are removed together.
    seconds : float
        After which no more is tried.

    Raises
    ------
    BenchError
        If the query or an item of the intervention is not there.
    """
    end = time.monotonic() + seconds
    gone, relabelled = set(exclude), relabel or {}
    tried = 0

    def ask(more: Collection[str]) -> Answer | None:
        nonlocal tried
        if time.monotonic() > end:
            return None
        tried += 1
        without = gone | set(more)
        kept = {item: c for item, c in relabelled.items() if item not in without}
        before, after = scene.answers(label, [query], scene.edited(without, kept))[0]
        return after or before

    start = ask(())
    assert start is not None
    sets = [] if gone or relabelled else scene.fewest_removals(label, query, most)
    if sets and len(sets[0]) > 1:
        answer = ask(sets[0])
        if answer is not None and answer.prediction != start.prediction:
            becomes = answer.prediction
            return Removals(alone={}, together=sets[0], becomes=becomes, fewest=True, tried=tried, complete=True)
    found: dict[str, int] = {}
    complete = True
    named = [one[0] for one in sets if len(one) == 1]
    for item in (named or _supporters(scene, query, start, gone))[: most if singly or named else 0]:
        answer = ask([item])
        if answer is None:
            complete = False
            break
        if answer.prediction != start.prediction:
            found[item] = answer.prediction
    if found:
        first = next(iter(found))
        complete = complete and len(named) <= most
        return Removals(
            alone=found, together=(first,), becomes=found[first], fewest=True, tried=tried, complete=complete
        )
    removed: list[str] = []
    now: Answer | None = start
    while now is not None and len(removed) < most:
        left = _supporters(scene, query, now, gone | set(removed), label=start.prediction)
        if not left:
            break
        removed.append(left[0])
        now = ask(removed)
        if now is not None and now.prediction != start.prediction:
            becomes = now.prediction
            return Removals(
                alone={}, together=tuple(removed), becomes=becomes, fewest=False, tried=tried, complete=complete
            )
    complete = complete and now is not None
    return Removals(alone={}, together=(), becomes=None, fewest=False, tried=tried, complete=complete)


def _supporters(scene: Scene, query: str, answer: Answer, gone: Collection[str], label: int | None = None) -> list[str]:
    """Return the items that speak for the answer, the strongest first."""
    wanted = answer.prediction if label is None else label
    near = answer.evidence.neighbours if answer.evidence else ()
    if near:
        voting = [one for one in near if one.label == wanted and one.item not in gone]
        return list(dict.fromkeys(one.item for one in sorted(voting, key=lambda one: -one.weight)))
    names, x = scene.images_of(wanted)
    cosines = normalise(x) @ normalise(scene.query(query).unsqueeze(0)).squeeze(0)
    return [names[place] for place in cosines.argsort(descending=True).tolist() if names[place] not in gone]
