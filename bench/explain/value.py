"""What the items of a run's memory are worth, by item, class or source, judged on other items of the memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Items
from bench.core.task import Task
from bench.data.versions.facts import facts_of
from bench.explain.episodes import dealt_episodes
from bench.explain.replay import Which
from bench.functional.item_values import left_out_margins, vote_shapley
from bench.learning.holdout import hold_out
from bench.utils.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

Utility = Literal["right", "signed"]
Judges = Literal["held-out", "queries"]
CUT = 20_000
"""Items from which on values are those of the nearest so many of each query, with an error of at most 1 / CUT."""
_TEMPERATURE = 0.03
"""Of signed votes, as of the method ``knn``."""


def value(
    folder: Path,
    which: Which | None = None,
    *,
    k: int = 10,
    utility: Utility = "right",
    judges: Judges = "held-out",
    oracle: bool = False,
    data: str | Path | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """Return what each labelled image of the last session's memory is worth, a row an item, condition and seed.

    Half of each class's images judge the other half, and the other way round: no query is looked at. Judges may be
    labelled wrongly themselves. With ``judges="queries"`` the queries and their labels judge all items, which is an
    oracle: an upper bound that nothing may be chosen by, and that has to be asked for as one.

    Parameters
    ----------
    folder : Path
        The run's folder.
    which : Which, optional
        Which conditions and seeds; by default all. Its methods do not matter.
    k : int
        Voters of the utility.
    utility : str
        ``right``: the share of the k nearest that is of the judge's class. ``signed``: votes weighed by the exponential
        of the cosine at a temperature of 0.03, those of other classes counted against it.
    judges : str
        ``held-out`` or ``queries``.
    oracle : bool
        The mark without which queries do not judge.
    data : optional
        The data set, where its name no longer leads to it.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    DataFrame
        ``scenario``, ``dataset``, ``condition``, ``seed``, ``item``, ``class``, ``source``, ``keyword``,
        ``licence``; ``shapley``, whose sum is
        the mean utility of all judges, each answered from the other half; ``margin``, the cosine to the class's mean
        without the item, less that to the nearest other: below 0 the item looks misplaced; ``judges``, which is
        ``oracle`` where queries judged.

    Raises
    ------
    BenchError
        If no class has two images, the data or the dealing are not those of the run, or queries are to judge without
        the mark.
    """
    import pandas as pd

    if judges == "queries" and not oracle:
        raise BenchError("values judged by queries are an oracle, by which nothing may be chosen; mark them: --oracle")
    if oracle and judges != "queries":
        raise BenchError("the oracle is what queries judge; give --judges queries, or leave --oracle out")

    parts = []
    for dealt in dealt_episodes(folder, which or Which(), data=data, device=device):
        task = dealt.session.task
        asked = dealt.session.queries if judges == "queries" else None
        table = values_of(task.all_images, task, k, utility, asked)
        facts = facts_of(data if data is not None else dealt.dataset.name)
        known = [facts.of(item) for item in table["item"]]
        table["source"] = [fact.source or own for fact, own in zip(known, table["source"], strict=True)]
        table["keyword"] = [fact.keyword or name for fact, name in zip(known, table["class"], strict=True)]
        table["licence"] = [fact.licence or "unknown" for fact in known]
        table["judges"] = "held-out" if asked is None else "oracle"
        parts.append(table.assign(**dealt.about)[[*dealt.about, *table.columns]])
    return pd.concat(parts, ignore_index=True)


def values_of(items: Items, task: Task, k: int, utility: Utility, oracle: Features | None = None) -> pd.DataFrame:
    """Return what each item is worth, judged by the other items or by an ``oracle``; see :func:`value`."""
    import pandas as pd

    columns = task.columns(items.labels)
    shapley = (
        _judged_by_items(items, columns, k, utility)
        if oracle is None
        else _shapley(items, columns, oracle.x, task.columns(oracle.labels), k, utility)
    )
    margins = left_out_margins(items.x, columns, task.n_classes)
    names = np.asarray(task.class_names)
    return pd.DataFrame(
        {
            "item": items.ids,
            "class": names[columns.cpu().numpy()],
            "source": items.sources,
            "shapley": shapley.cpu().numpy(),
            "margin": margins.cpu().numpy(),
        }
    )


def _judged_by_items(items: Items, columns: Tensor, k: int, utility: Utility) -> Tensor:
    """Return the values of each half of the items, judged by the other."""
    judges = hold_out(columns, items.ids)
    if not bool(judges.any()):
        raise BenchError("no class has two images, so that none can judge the others")
    shapley = torch.zeros(len(items), dtype=torch.float64, device=columns.device)
    for valued in (~judges, judges):
        rows = valued.nonzero().squeeze(1)
        asked = (~valued).nonzero().squeeze(1)
        share = len(asked) / len(items)
        shapley[rows] = share * _shapley(items.take(rows), columns[rows], items.x[asked], columns[asked], k, utility)
    return shapley


def _shapley(items: Items, columns: Tensor, x: Tensor, labels: Tensor, k: int, utility: Utility) -> Tensor:
    total = torch.zeros(len(items), dtype=torch.float64, device=columns.device)
    length = len(items) if len(items) <= CUT else CUT
    step = max(1, (1 << 24) // max(1, length))
    for start in range(0, len(x), step):
        found = items.index.search(x[start : start + step].float(), length)
        right = columns[found.positions] == labels[start : start + step].unsqueeze(1)
        gains = right.double()
        if utility == "signed":
            gains = ((found.similarities.double() - 1) / _TEMPERATURE).exp() * (2 * gains - 1)
        total += vote_shapley(found.positions, gains, k, len(items)) * len(right)
    return total / max(1, len(x))
