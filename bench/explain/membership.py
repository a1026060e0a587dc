"""A membership test: whether a state tells which items it was built from, before and after they were removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.core.protocols import Forgets
from bench.core.scored import scored
from bench.explain.episodes import DealtAgain, Held, dealt_episodes
from bench.explain.interventions import intervene
from bench.explain.rebuild import built_again
from bench.explain.replay import Which
from bench.runner.handover import Handed, Handover
from bench.runner.states import SessionState
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.random import Stream

if TYPE_CHECKING:
    import pandas as pd

SHADOWS, WORLDS = 32, 4
LEVEL = 0.05
"""The share of items that never were members which the test may take for members."""
_SHARE = 0.1
"""Of the items of a world, those that are removed."""
_CLIP = 1e4


def membership(
    folder: Path,
    which: Which | None = None,
    *,
    shadows: int = SHADOWS,
    worlds: int = WORLDS,
    data: str | Path | None = None,
    device: str = "cpu",
) -> tuple[pd.DataFrame, list[str]]:
    """Return how often a test finds items in states that hold them, and in states from which they were removed.

    The likelihood-ratio attack of Carlini et al., Membership Inference Attacks From First Principles, IEEE S&P 2022,
    arXiv:2112.03570, with memories for models. Worlds are memories of a random half of each class, from which a tenth
    of the items is removed: by the method's own ``forget`` where it has one, else by building again. Shadow memories
    are drawn as worlds are left after the removal, so that the level holds whatever the size of a memory does to a
    method; an item's margin (the score of its class less the largest other) in shadows with and without it gives two
    normal distributions. The test is asked of these items in the state before the removal (the positive
    control: had nothing been cleaned, it would look so), after it, and in one that never saw them (which is chance).

    Returns
    -------
    DataFrame
        A row a method, condition, seed, world and item: ``how`` (``forgotten`` or ``rebuilt``), ``item``, and whether
        the test finds it where it was ``left_in``, where it was ``removed``, and in a state built where it was
        ``never`` there, at the level of :data:`LEVEL`.
    list of str
        A line for each method that was not tested.

    Raises
    ------
    BenchError
        If a memory is too small.
    """
    import pandas as pd

    if shadows < 8:
        raise BenchError(f"--shadows {shadows} are too few to know two distributions; write 8 or more")
    parts: list[pd.DataFrame] = []
    without: list[str] = []
    for dealt in dealt_episodes(folder, which or Which(), data=data, device=device):
        for label in dealt.rows["method"]:
            held = dealt.held(label)
            try:
                rows = list(_tested(dealt, held, shadows, worlds))
            except Unsuitable as error:
                without.append(f"{label}: {error}")
                continue
            parts.append(pd.DataFrame(rows).assign(method=label, **dealt.about))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), sorted(set(without))


def _tested(dealt: DealtAgain, held: Held, shadows: int, worlds: int) -> Iterator[dict[str, object]]:
    items = dealt.session.task.all_images
    columns = np.asarray(held.state.task.columns(items.labels).cpu())
    if dealt.number:
        raise Unsuitable("its state is made of several sessions; test a run of one")
    if len(items) < 40:
        raise BenchError(f"a memory of {len(items)} images is too small for a membership test; give it 40 or more")
    rng = Stream(int(dealt.about["seed"])).child("membership")
    member = np.stack([_drawn(columns, rng.child("shadow", n))[1] for n in range(shadows)])
    margins = np.stack([_margins(dealt, held, _built(dealt, held, ~inside)[0], columns) for inside in member])
    threshold, fitted = _threshold(margins, member), _Normals(margins, member)
    for world in range(worlds):
        inside, stays = _drawn(columns, rng.child("world", world))
        rows = np.flatnonzero(inside & ~stays)
        before, handover = _built(dealt, held, ~inside)
        after, how = _removed(dealt, held, before, handover, ~inside, rows)
        never = after if how == "rebuilt" else _without(dealt, held, ~inside, rows)
        states = before, after, never
        found = [fitted.ratio(_margins(dealt, held, state, columns))[rows] > threshold for state in states]
        for row, left_in, removed, stranger in zip(rows.tolist(), *found, strict=True):
            yield {
                "world": world,
                "item": str(items.ids[row]),
                "how": how,
                "left_in": bool(left_in),
                "removed": bool(removed),
                "never": bool(stranger),
            }


def _drawn(columns: np.ndarray, rng: Stream) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of a memory, and those that stay when some are removed, bool [n] each."""
    inside = _half(columns, rng)
    there = np.flatnonzero(inside)
    stays = inside.copy()
    stays[there[rng.child("removed").permutation(len(there))[: max(1, round(_SHARE * len(there)))]]] = False
    return inside, stays


def _half(columns: np.ndarray, rng: Stream) -> np.ndarray:
    """Return a random half of the items of each class, bool [n]; of an odd number the larger one by chance."""
    inside = np.zeros(len(columns), dtype=bool)
    order = rng.permutation(len(columns))
    for column in np.unique(columns):
        rows = order[columns[order] == column]
        inside[rows[: (len(rows) + rng.child("odd", int(column)).permutation(2)[0]) // 2 or 1]] = True
    return inside


def _built(dealt: DealtAgain, held: Held, outside: np.ndarray) -> tuple[SessionState, Handover]:
    ids = dealt.session.task.all_images.ids[outside].tolist()
    handover = Handover(intervene(dealt.episode, dealt.number, ids, {}), int(dealt.about["seed"]))
    return built_again(held.method, handover, dealt.number, held.rng, held.label), handover


def _removed(
    dealt: DealtAgain, held: Held, before: SessionState, handover: Handover, outside: np.ndarray, rows: np.ndarray
) -> tuple[SessionState, str]:
    """Return the state without some items, and how it came about."""
    if isinstance(held.method, Forgets):
        names = handover.names(dealt.session.task.all_images.ids[rows].tolist())
        given = Handed(held.label).give(handover.nameless(handover.episode.sessions[dealt.number].task))
        state = held.method.forget(before.state, given, names)
        return SessionState(state, before.task, "forgotten", before.exemplars), "forgotten"
    return _without(dealt, held, outside, rows), "rebuilt"


def _without(dealt: DealtAgain, held: Held, outside: np.ndarray, rows: np.ndarray) -> SessionState:
    left = outside.copy()
    left[rows] = True
    return _built(dealt, held, left)[0]


def _margins(dealt: DealtAgain, held: Held, state: SessionState, columns: np.ndarray) -> np.ndarray:
    """Return for each item the score of its class less the largest other, float64 [n]."""
    x = dealt.session.task.all_images.x
    with torch.no_grad():
        parts = (scored(held.method, state.state, part.float(), held.label) for part in x.split(4096))
        scores = torch.cat([part.double().cpu() for part in parts])
    own = torch.from_numpy(columns).unsqueeze(1)
    right = scores.gather(1, own).squeeze(1)
    others = scores.scatter(1, own, -torch.inf).amax(1)
    # A class without items scores minus infinity.
    found: np.ndarray = torch.nan_to_num(right - others, nan=0.0).clamp(-_CLIP, _CLIP).numpy()
    return found


class _Normals:
    """The distributions of each item's margin in shadows with it and without it."""

    def __init__(self, margins: np.ndarray, member: np.ndarray) -> None:
        self.means, self.spreads = [], []
        for inside in (member, ~member):
            count = np.maximum(inside.sum(0), 1)
            mean = (margins * inside).sum(0) / count
            variance = (((margins - mean) * inside) ** 2).sum(0) / np.maximum(count - 1, 1)
            # Few shadows know a mean better than a spread, which is therefore held near that of all items.
            pooled = variance.mean() + 1e-12
            self.means.append(mean)
            self.spreads.append(np.sqrt((count * variance + 4 * pooled) / (count + 4)))

    def ratio(self, margin: np.ndarray) -> np.ndarray:
        """Return the log likelihood ratio of margins [n]: above 0 an item looks like a member."""
        with_, without = (
            -(((margin - mean) / spread) ** 2) / 2 - np.log(spread)
            for mean, spread in zip(self.means, self.spreads, strict=True)
        )
        found: np.ndarray = with_ - without
        return found


def _threshold(margins: np.ndarray, member: np.ndarray) -> float:
    """Return the ratio that a share of :data:`LEVEL` of non-members exceeds, each judged by the other shadows."""
    ratios = []
    for shadow in range(len(margins)):
        others = np.arange(len(margins)) != shadow
        ratio = _Normals(margins[others], member[others]).ratio(margins[shadow])
        ratios.append(ratio[~member[shadow]])
    return float(np.quantile(np.concatenate(ratios), 1 - LEVEL, method="higher"))


STATES = ("left_in", "removed", "never")


def powers(tested: pd.DataFrame) -> pd.DataFrame:
    """Return the share of items that the test finds, a row a method and condition.

    Returns
    -------
    DataFrame
        ``items`` (how many tests), and the shares ``left_in``, ``removed`` and ``never``.
    """
    keys = ["scenario", "dataset", "condition", "method", "how"]
    shares = tested.groupby(keys, sort=False)[list(STATES)].mean()
    return shares.assign(items=tested.groupby(keys, sort=False).size()).reset_index()
