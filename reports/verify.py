"""A run against the published numbers: what is within a tolerance, what is outside, and what cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.reports.analysis import Analysis
from bench.reports.published.accuracy import ACCURACY, OTHER_DATA, OTHER_TASK, SAME
from bench.reports.tables.table import percent, share
from bench.reports.utils.text import condition_text
from bench.utils.errors import BenchError

TOLERANCE = 1.0
"""Points of accuracy by which a measured number may differ from the published one."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One published number beside what was measured; shares, not per cent, and costs in their unit.

    Attributes
    ----------
    verdict : str
        ``within`` or ``outside`` the tolerance, or ``not compared``.
    why : str
        Why it is not compared; empty elsewhere.
    """

    what: str
    measured: float
    low: float
    high: float
    published: float
    verdict: Literal["within", "outside", "not compared"]
    why: str = ""
    unit: str = ACCURACY

    @property
    def difference(self) -> float:
        """Measured minus published."""
        return self.measured - self.published


def verify(
    folders: Sequence[Path], tolerance: float = TOLERANCE, *, any_encoder: bool = False
) -> tuple[list[Check], tuple[str, ...]]:
    """Return a check for every published number that a run stands beside, and the run's warnings.

    A number is compared if it was measured on a data set of the published name with the published encoder, and as many
    classes were asked about. The names are all that can be checked of data and weights: images, memory and weights of
    one name can differ from the paper's. Costs stand beside the published ones, without a verdict.

    Parameters
    ----------
    folders : sequence of Path
        Runs, or folders of runs.
    tolerance : float
        In points of accuracy.
    any_encoder : bool
        Also compare numbers whose encoder is another or was not recorded.

    Raises
    ------
    BenchError
        If no run belongs to an experiment that has published numbers.
    """
    analysis = Analysis.of(folders)
    beside = analysis.published
    if beside.empty:
        raise BenchError(
            "nothing to verify: the run is no experiment with published numbers; make one with "
            "`bench run --experiment NAME` (see `bench list experiments`)"
        )
    checks = [
        _check({str(k): v for k, v in row.items()}, tolerance / 100, any_encoder)
        for row in beside.dropna(subset=["dataset", "measured"]).to_dict("records")
    ]
    return checks, analysis.run_warnings


def _check(row: dict[str, object], tolerance: float, any_encoder: bool) -> Check:
    method = f" ({row['method']})" if isinstance(row["method"], str) else ""
    words = [str(row["experiment"]), f"{row['label']}{method}", f"on {row['published_dataset']}"]
    if row["unit"] != ACCURACY:
        return Check(
            what=", ".join([*words, f"measured on {row['dataset']}"]),
            measured=float(str(row["measured"])),
            low=math.nan,
            high=math.nan,
            published=float(str(row["published"])),
            verdict="not compared",
            why=f"{100 * float(str(row['relative'])):+.3g} %: a cost, to which no tolerance in points applies; "
            f"{row['remark']}",
            unit=str(row["unit"]),
        )
    condition = condition_text(str(row["condition"]))
    measured, number = float(str(row["measured"])), float(str(row["published"])) / 100
    reasons = [part for part in str(row["remark"]).split("; ") if part not in (SAME, "")]
    if any_encoder:
        reasons = [part for part in reasons if part.startswith(OTHER_TASK)]
    if reasons:
        why = "; ".join(reasons).replace(OTHER_DATA, f"measured on {row['dataset']}")
        verdict: Literal["within", "outside", "not compared"] = "not compared"
    else:
        # Published numbers have one decimal; what is at the edge of the tolerance is within it.
        why, verdict = "", "within" if abs(measured - number) <= tolerance + 1e-9 else "outside"
    return Check(
        what=", ".join([*words, *([condition] if condition else [])]),
        measured=measured,
        low=float(str(row["low"])),
        high=float(str(row["high"])),
        published=number,
        verdict=verdict,
        why=why,
    )


def text(checks: Sequence[Check], warnings: Sequence[str], tolerance: float) -> str:
    """Return a line a check, those that are compared first, and the sum."""
    compared = [c for c in checks if c.verdict != "not compared"]
    rest = [c for c in checks if c.verdict == "not compared"]
    lines = []
    for c in (*compared, *rest):
        numbers = f"measured {share(c.measured, c.low, c.high)}, published {percent(c.published)}"
        if c.unit != ACCURACY:
            numbers = f"measured {c.measured:.4g}, published {c.published:g} {c.unit}"
        end = c.why or f"difference {round(100 * c.difference, 1) + 0.0:+.1f}"
        lines.append(f"{c.verdict}: {c.what}: {numbers}, {end}")
    lines += [f"warning: {warning}" for warning in warnings]
    outside = sum(c.verdict == "outside" for c in compared)
    if compared:
        lines.append(
            f"{len(compared) - outside} of {len(compared)} within {tolerance:g} points; {len(rest)} not compared"
        )
    else:
        lines.append(
            f"nothing in the run is comparable with a published number ({len(rest)} stand beside one, each for the "
            "reason given)"
            if rest
            else "nothing in the run is comparable with a published number"
        )
    return "\n".join(lines)
