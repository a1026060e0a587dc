"""Certificates of a finished run's answers: how many edits of the memory leave each as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.core.certificate import Certifies, Edit
from bench.core.registry import METHODS, SCENARIOS
from bench.device.choose import choose_device
from bench.explain.rebuild import built_again, dealt_again, trained_again, tuned
from bench.explain.replay import Which, finished, recipe_of, same_data, session_number
from bench.learning.training_options import TrainingOptions, with_training_options
from bench.results.run_json import read_manifest
from bench.runner.handover import Handover, method_stream
from bench.utils.errors import BenchError, Unsuitable

if TYPE_CHECKING:
    import pandas as pd

EDITS: tuple[Edit, ...] = ("remove", "relabel", "insert")
CELL = ["scenario", "dataset", "condition", "seed"]
MOST = 64
"""Edits up to which answers are certified."""


def certify(
    folder: Path,
    which: Which | None = None,
    *,
    edits: Sequence[Edit] = EDITS,
    most: int = MOST,
    data: str | Path | None = None,
    device: str = "cpu",
) -> tuple[pd.DataFrame, list[str]]:
    """Return the certificate of each answer of a run's last sessions, and why some methods have none.

    Episodes are dealt and states built again; answers must be those that the run recorded.

    Parameters
    ----------
    folder : Path
        The run's folder.
    which : Which, optional
        Which of the answers; by default those of all methods that have certificates, in all conditions and seeds.
    edits : sequence of str
        ``remove``, ``relabel``, ``insert``.
    most : int
        The largest number of edits asked for.
    data : optional
        The data set, where its name no longer leads to it.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    DataFrame
        A row an answer and kind of edit: ``method``, ``scenario``, ``dataset``, ``condition``, ``seed``, ``session``,
        ``edit``, ``query``, ``correct``, ``least`` (the least number of edits that changes it, ``most + 1`` for more
        than ``most``), ``exact`` (else ``least`` is a lower bound).
    list of str
        A line for each method and edit without a certificate.

    Raises
    ------
    BenchError
        If no method that was asked for has certificates, or the data or the dealing are not those of the run.
    """
    import pandas as pd

    if most < 1:
        raise BenchError(f"--most {most} asks for no edit; write 1 or more")
    which, place = which or Which(), choose_device(device)
    manifest = read_manifest(folder)
    if manifest.get("search", "exact") != "exact":
        raise BenchError(
            f"the run searched by {manifest['search']}, which may miss items, so that nothing is certain of its "
            "answers; certify a run with exact search"
        )
    records = finished(folder, which)
    recipes = {name: recipe_of(manifest, "methods", METHODS, name) for name in records["method"].unique()}
    able = [name for name, named in recipes.items() if isinstance(named.recipe, Certifies)]
    lacking = [name for name in recipes if name not in able]
    if not able:
        raise BenchError(
            f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no certificates; knn and protonet have"
        )
    without = [f"{name}: no certificate is known for it" for name in lacking]
    parts = []
    for _, cells in records[records["method"].isin(able)].groupby(CELL, sort=False):
        last = cells["session"].max() if which.session is None else which.session
        if not (cells["session"] == last).any():
            raise BenchError(f"the run has no session {last}; its last is {cells['session'].max()}")
        parts += list(_certified(folder, manifest, cells[cells["session"] == last], edits, most, data, place, without))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), sorted(set(without))


def _certified(
    folder: Path,
    manifest: Mapping[str, Any],
    rows: pd.DataFrame,
    edits: Sequence[Edit],
    most: int,
    data: str | Path | None,
    device: str,
    without: list[str],
) -> Iterator[pd.DataFrame]:
    """Yield the certificates of one episode's session, a table a method and edit."""
    import pandas as pd

    first = {str(key): value for key, value in rows.iloc[0].items()}
    dataset = same_data(data if data is not None else str(first["dataset"]), first)
    scenario = recipe_of(manifest, "scenarios", SCENARIOS, str(first["scenario"]))
    episode = dealt_again(scenario, dataset, first, manifest).to(device)
    number = session_number(episode, int(first["session"]), str(first["queries_fingerprint"]), folder)
    queries = episode.sessions[number].queries
    options = TrainingOptions(precision=manifest.get("precision", "fp32"))
    handover = Handover(episode, int(first["seed"]))
    for row in rows.to_dict("records"):
        label = str(row["method"])
        recipe = recipe_of(manifest, "methods", METHODS, label).recipe
        rng = method_stream(int(first["seed"]), recipe.name)
        told = {str(key): value for key, value in row.items()}
        method = trained_again(with_training_options(tuned(recipe, told), options), handover, rng, folder, told)
        held = built_again(method, handover, number, rng, label)
        x = queries.x.float()
        with torch.no_grad():
            columns = method.score(held.state, x).argmax(1)
        right = np.asarray(held.task.classes)[columns.cpu().numpy()] == queries.labels.cpu().numpy()
        if int(right.sum()) != int(row["n_correct"]):
            raise BenchError(
                f"{label} answers otherwise than {folder} recorded; certify on the machine and with the code of the run"
            )
        for edit in edits:
            try:
                with torch.no_grad():
                    found = method.certify(held.state, held.task, x, edit, most)  # type: ignore[attr-defined]
            except Unsuitable as error:
                without.append(f"{label}, {edit}: {error}")
                continue
            yield pd.DataFrame(
                {
                    "method": label,
                    **{key: first[key] for key in CELL},
                    "session": int(first["session"]),
                    "edit": edit,
                    "query": queries.ids,
                    "correct": right,
                    "least": found.least.cpu().numpy(),
                    "exact": found.exact.cpu().numpy(),
                }
            )


def certified_accuracy(certificates: pd.DataFrame, numbers: Sequence[int]) -> pd.DataFrame:
    """Return the share of queries that are answered rightly whatever so many edits, mean over seeds.

    Parameters
    ----------
    certificates : DataFrame
        What :func:`certify` returns.
    numbers : sequence of int
        Numbers of edits; 0 is the accuracy.

    Returns
    -------
    DataFrame
        A row a method, data set, condition and edit: the shares, a column a number, and ``exact``, the share of
        certificates that are exact.
    """
    import pandas as pd

    keys = ["scenario", "dataset", "condition", "edit", "method"]
    tables = {r: certificates["correct"] & (certificates["least"] > r) for r in numbers}
    shares = pd.DataFrame(tables).assign(exact=certificates["exact"])
    by_seed = pd.concat([certificates[[*keys, "seed"]], shares], axis=1).groupby([*keys, "seed"], sort=False).mean()
    return by_seed.groupby(level=keys, sort=False).mean().reset_index()
