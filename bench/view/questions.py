"""Asking the methods of a run: neighbours and votes of a query, and every answer from an edited memory."""

from __future__ import annotations

import base64
import math
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.dataset import Dataset
from bench.core.registry import METHODS
from bench.data.thumbnails import Show, thumbnails
from bench.explain.interventions import parse_relabels
from bench.explain.removals import removals
from bench.explain.replay import recipe_of, same_data
from bench.explain.scene import Answer, Scene
from bench.reports.records.arrow_columns import plain
from bench.reports.utils.class_weights import class_weights
from bench.results.run_folder import read_predictions
from bench.results.run_json import read_manifest
from bench.results.schema import COLUMNS, combined, read_tables
from bench.utils.errors import BenchError, one_line, suggest
from bench.utils.names import printable
from bench.view.board import Board
from bench.view.leaderboard import Key, Where, records_of

NEIGHBOURS = 16
"""Neighbours that are shown of each branch, beyond those that are intervened on."""
SLOW = 1.0
"""Seconds of building from which on a method does not make others wait."""
LONG = 5.0
"""Seconds of building from which on a method is asked only when it is told to."""
_SCENES, _PICTURES = 3, 4000
_MOST_EDITS = 64
"""Edits up to which an answer is certified."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A scene of one run's folder with what the page needs of its methods.

    Attributes
    ----------
    shown : mapping of str to str
        By the name on the page, the name in the run.
    seconds : mapping of str to float
        By the name on the page, how long the run built the method's state, trainings apart: weights are made once.
    recorded : mapping
        By the name in the run and query, the class id that the run recorded.
    """

    scene: Scene
    shown: Mapping[str, str]
    seconds: Mapping[str, float]
    recorded: Mapping[tuple[str, str], int]


class Questions:
    """Answers questions about single queries.

    Parameters
    ----------
    board : Board
    data : optional
        The data set, where its name no longer leads to it.
    images : Path, optional
        Folder of the images that a pack was made from.
    device : str
        Where states are made again.
    """

    def __init__(
        self, board: Board, *, data: str | Path | Dataset | None = None, images: Path | None = None, device: str = "cpu"
    ):
        self._board, self._data, self._images, self._device = board, data, images, device
        self._scenes: OrderedDict[tuple[Where, tuple[str, ...]], tuple[list[Asked], dict[str, str]]] = OrderedDict()
        self._shows: dict[str, Show] = {}
        self._pictures: OrderedDict[tuple[str, str], str | None] = OrderedDict()
        self._lock = threading.RLock()

    def scene(self, at: Where) -> dict[str, Any]:
        """Return what can be asked in one episode: methods with the seconds their state takes, and classes.

        Raises
        ------
        BenchError
            If nothing of it can be asked; it says why.
        """
        asked, without = self._asked(at)
        first = asked[0].scene
        methods = [
            {
                "method": name,
                "seconds": seconds,
                "slow": seconds > SLOW,
                "long": seconds > LONG,
                "retrieves": one.scene.explains(one.shown[name]),
            }
            for one in asked
            for name, seconds in one.seconds.items()
        ]
        return {
            "session": first.session,
            "methods": sorted(methods, key=lambda m: (m["long"], not m["retrieves"], m["seconds"])),
            "without": without,
            "classes": sorted({printable(name) for name in first.class_names()}),
            "warnings": list(dict.fromkeys(line for one in asked for line in one.scene.warnings())),
        }

    def answer(
        self, at: Where, query: str, method: str, exclude: Collection[str], relabel: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return a method's answer as the run had it, and from the edited memory if anything is edited.

        Raises
        ------
        BenchError
            If the query, an item, a class or the method is not there.
        """
        one, label = self._method(at, method)
        wanted = _relabelled(one.scene, relabel, exclude)
        ((before, after),) = one.scene.answers(label, [query], one.scene.edited(exclude, wanted))
        recorded = one.recorded.get((label, query))
        warning = recorded is not None and recorded != before.prediction
        return {
            "method": method,
            "label": one.scene.name_of(one.scene.label_of(query)),
            "before": _said(one.scene, before, query),
            "after": None if after is None else _said(one.scene, after, query),
            "neighbours": _neighbours(one.scene, before, exclude, wanted),
            "neighbours_after": [] if after is None else _neighbours(one.scene, after, exclude, wanted),
            "warning": "answers otherwise than the run recorded: another machine, device or code" if warning else "",
        }

    def removals(
        self, at: Where, query: str, method: str, exclude: Collection[str], relabel: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return which removals change a method's answer, and the certificate of the answer as the run had it."""
        one, label = self._method(at, method)
        scene = one.scene
        wanted = _relabelled(scene, relabel, exclude)
        certified: dict[str, Any] = {}
        for edit in ("remove", "relabel", "insert"):
            told = scene.certificate(label, query, edit, _MOST_EDITS)
            certified[edit] = (
                {"why": told}
                if isinstance(told, str)
                else {"least": int(told.least[0]), "exact": bool(told.exact[0]), "most": _MOST_EDITS}
            )
        # A lower bound holds too: where it is above one, no single item changes the answer of the memory as it was.
        none_alone = not exclude and not wanted and certified["remove"].get("least", 1) > 1
        found = removals(scene, label, query, exclude=exclude, relabel=wanted, singly=not none_alone)
        return {
            "method": method,
            "alone": [{"item": item, "becomes": scene.name_of(c)} for item, c in found.alone.items()],
            "together": list(found.together),
            "becomes": None if found.becomes is None else scene.name_of(found.becomes),
            "fewest": found.fewest,
            "tried": found.tried,
            "complete": found.complete,
            "certificate": certified,
        }

    def pictures(self, key: Key, names: Sequence[str]) -> dict[str, str | None]:
        """Return small images of items and queries as PNG in base64, null where there is none of one.

        Raises
        ------
        BenchError
            If the data set cannot be opened, or is not that of the run.
        """
        found: dict[str, str | None] = {}
        for name in names:
            place = (key[1], name)
            with self._lock:
                if place not in self._pictures:
                    content = self._show(key)(name)
                    self._pictures[place] = None if content is None else base64.b64encode(content).decode("ascii")
                    while len(self._pictures) > _PICTURES:
                        self._pictures.popitem(last=False)
                found[name] = self._pictures[place]
        return found

    # -- what is held ------------------------------------------------------------------------------------------------

    def _show(self, key: Key) -> Show:
        if key[1] not in self._shows:
            row = self._rows(self._cells(key, None).head(1), None).iloc[0].to_dict()
            dataset = same_data(self._data or str(row["dataset"]), {str(k): v for k, v in row.items()})
            self._shows[key[1]] = thumbnails(dataset, self._images)
        return self._shows[key[1]]

    def _method(self, at: Where, method: str) -> tuple[Asked, str]:
        asked, without = self._asked(at)
        for one in asked:
            if method in one.shown:
                return one, one.shown[method]
        if method in without:
            raise BenchError(f"{method}: {without[method]}")
        raise BenchError(f"no method {method!r}{suggest(method, [name for one in asked for name in one.shown])}")

    def _asked(self, at: Where) -> tuple[list[Asked], dict[str, str]]:
        with self._lock:
            place = (at, tuple(sorted(self._cells(at.key, at.seed)["cell"])))
            if place not in self._scenes:
                self._scenes[place] = self._open(at)
                while len(self._scenes) > _SCENES:
                    self._scenes.popitem(last=False)
            self._scenes.move_to_end(place)
            return self._scenes[place]

    def _cells(self, key: Key, seed: int | None) -> pd.DataFrame:
        """Return ``run``, ``cell``, ``method`` and ``seed`` of the cells of a group, of one seed or all."""
        now = self._board.now
        if now.table is None or key not in now.rows:
            raise BenchError("the runs have no such scenario, data set and condition any more; load the page again")
        cells = plain(records_of(now.table, key)[["run", "cell", "method", "seed"]].drop_duplicates("cell"))
        return cells if seed is None else cells[cells["seed"] == seed]

    def _rows(self, cells: pd.DataFrame, session: int | None) -> pd.DataFrame:
        """Return what the runs recorded of some cells in a session, with ``shown`` (the page's name) and ``folder``."""
        table = self._board.now.table
        assert table is not None
        parts = []
        for row in cells.to_dict("records"):
            folder = table.predicted.get(str(row["run"]), {}).get(str(row["cell"]))
            path = None if folder is None else folder / "records" / f"{row['cell']}.parquet"
            if folder is None or path is None or not path.is_file():
                continue
            own = combined(read_tables([path]), COLUMNS, "records", folder).to_pandas()
            built = own["build_seconds"].sum()
            own = own[own["session"] == (own["session"].max() if session is None else session)]
            parts.append(own.assign(shown=row["method"], folder=folder, built=built))
        if not parts or not any(map(len, parts)):
            raise BenchError("there is no record of these cells and this session: the run was removed or renamed")
        found: pd.DataFrame = pd.concat(parts, ignore_index=True)
        return found

    def _open(self, at: Where) -> tuple[list[Asked], dict[str, str]]:
        rows = self._rows(self._cells(at.key, at.seed), at.session)
        without: dict[str, str] = {}
        asked = []
        for folder, own in rows.groupby("folder", sort=True):
            able = []
            for record in own.to_dict("records"):
                row = {str(key): value for key, value in record.items()}
                reason = _why_not(Path(str(folder)), row)
                if reason:
                    without[str(row["shown"])] = reason
                else:
                    able.append(str(row["method"]))
            mine = own[own["method"].isin(able)].sort_values("method")
            if mine.empty:
                continue
            try:
                asked.append(self._opened(Path(str(folder)), mine))
            except BenchError as error:
                without |= dict.fromkeys(mine["shown"], one_line(error, longest=400))
        if not asked:
            raise BenchError("; ".join(dict.fromkeys(without.values())) or "no method can be asked")
        return asked, {name: printable(reason) for name, reason in without.items()}

    def _opened(self, folder: Path, own: pd.DataFrame) -> Asked:
        records = own.drop(columns=["shown", "folder", "built"])
        scene = Scene(folder, records, methods=list(own["method"]), data=self._data, device=self._device)
        answers = read_predictions(folder, list(own["cell"]))
        answers = answers[answers["session"] == scene.session]
        labels = answers["cell"].map(dict(zip(own["cell"], own["method"], strict=True)))
        asked = zip(labels, answers["query"], strict=True)
        return Asked(
            scene,
            dict(zip(own["shown"], own["method"], strict=True)),
            {str(name): float(seconds) for name, seconds in zip(own["shown"], own["built"], strict=True)},
            dict(zip(asked, answers["prediction"].astype(int), strict=True)),
        )


def _why_not(folder: Path, row: Mapping[str, Any]) -> str:
    """Return why a method cannot be asked about a single query; nothing if it can."""
    if row["selection"] == "oracle":
        return "an oracle, which chose on the queries"
    if isinstance(row["sees"], str) and row["sees"] != "query":
        return f"its answers rest on other queries too (it sees the {row['sees']})"
    try:
        recipe_of(read_manifest(folder), "methods", METHODS, str(row["method"]))
    except BenchError as error:
        return one_line(error, longest=300)
    return ""


def _relabelled(scene: Scene, relabel: Mapping[str, str], exclude: Collection[str]) -> dict[str, int]:
    both = sorted(set(relabel) & set(exclude))
    if both:
        raise BenchError(f"{both[0]!r} is both left out and relabelled; ask for one of the two")
    return parse_relabels([f"{item}={name}" for item, name in relabel.items()], scene.data.class_names)


def _said(scene: Scene, answer: Answer, query: str) -> dict[str, Any]:
    weights = class_weights(answer)
    return {
        "answer": scene.name_of(answer.prediction),
        "right": answer.prediction == scene.label_of(query),
        "confidence": answer.confidence if math.isfinite(answer.confidence) else None,
        "scores": [[scene.name_of(c), value] for c, value in answer.scores if math.isfinite(value)],
        "votes": {branch: [[scene.name_of(c), w] for c, w in sums] for branch, sums in weights.items()},
        "weights": answer.evidence.weights if answer.evidence else "",
    }


def _neighbours(
    scene: Scene, answer: Answer, exclude: Collection[str], relabel: Mapping[str, int]
) -> list[dict[str, Any]]:
    shown: dict[str, int] = {}
    found = []
    for near in answer.evidence.neighbours if answer.evidence else ():
        shown[near.branch] = shown.get(near.branch, 0) + 1
        if shown[near.branch] > NEIGHBOURS and near.item not in exclude and near.item not in relabel:
            continue
        found.append(
            {
                "item": near.item,
                "branch": near.branch,
                "class": scene.name_of(near.label),
                "similarity": near.similarity if math.isfinite(near.similarity) else None,
                "weight": near.weight if math.isfinite(near.weight) else None,
            }
        )
    return found
