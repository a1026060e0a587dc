"""Certificates of a finished run's answers: how many edits of the memory leave each as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench.core.certificate import Certifies, Edit
from bench.core.registry import METHODS
from bench.explain.episodes import DealtAgain, dealt_episodes
from bench.explain.replay import Which, finished, recipe_of
from bench.results.run_json import read_manifest
from bench.utils.errors import BenchError, Unsuitable

if TYPE_CHECKING:
    import pandas as pd

EDITS: tuple[Edit, ...] = ("remove", "relabel", "insert")
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
    which = which or Which()
    manifest = read_manifest(folder)
    if manifest.get("search", "exact") != "exact":
        raise BenchError(
            f"the run searched by {manifest['search']}, which may miss items, so that nothing is certain of its "
            "answers; certify a run with exact search"
        )
    names = finished(folder, which)["method"].unique()
    able = [name for name in names if isinstance(recipe_of(manifest, "methods", METHODS, name).recipe, Certifies)]
    lacking = [name for name in names if name not in able]
    if not able:
        verb = "has" if len(lacking) == 1 else "have"
        raise BenchError(
            f"{', '.join(lacking)} {verb} no certificates; knn, protonet, slda, ranpac and visual-memory have"
        )
    without = [f"{name}: no certificate is known for it" for name in lacking]
    parts: list[pd.DataFrame] = []
    for dealt in dealt_episodes(folder, which, methods=able, data=data, device=device):
        parts += list(_certified(dealt, edits, most, without))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), sorted(set(without))


def _certified(dealt: DealtAgain, edits: Sequence[Edit], most: int, without: list[str]) -> Iterator[pd.DataFrame]:
    """Yield the certificates of one episode's session, a table a method and edit."""
    import pandas as pd

    queries = dealt.session.queries
    for label in dealt.rows["method"]:
        held = dealt.held(label)
        right = dealt.require_recorded(held)
        for edit in edits:
            try:
                with torch.no_grad():
                    found = held.method.certify(held.state.state, held.state.task, queries.x.float(), edit, most)
            except Unsuitable as error:
                without.append(f"{label}, {edit}: {error}")
                continue
            yield pd.DataFrame(
                {
                    "method": label,
                    **dealt.about,
                    "session": dealt.session.task.session,
                    "edit": edit,
                    "query": queries.ids,
                    "correct": right,
                    "least": found.least.cpu().numpy(),
                    "exact": found.exact.cpu().numpy(),
                }
            )
