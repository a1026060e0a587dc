"""Builds a report: reads runs, writes tables, figures and the page, returns what the terminal shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.reports import (
    answers,
    audit,
    class_plots,
    compare,
    cost,
    differences,
    estimates,
    evidence,
    figures,
    latex,
    oracle,
    overall,
    page,
    plots,
    published,
    sweeps,
    tables,
    terminal,
)
from bench.reports.episodes import independent
from bench.reports.load import load
from bench.reports.output import csv_bytes, parquet_bytes, publish
from bench.reports.scores import scores
from bench.reports.summary import over_seeds, per_cell, per_session, summary


def build(folders: Sequence[Path], out: Path, *, galleries: int = 0) -> str:
    """Write the report on some runs into a folder and return the table for the terminal.

    The files depend on the records alone, not on their order nor on the folders they lie in. Files of an earlier
    report in the same folder that this one does not have are removed.

    Parameters
    ----------
    galleries : int
        How many queries of each data set and condition are shown with what they were answered from. Any number above
        0 makes the states of two methods again.

    Raises
    ------
    BenchError
        If there is nothing to report, a file is damaged or of a newer schema, or ``out`` cannot be written.
    """
    loaded = load(folders)
    scored = scores(loaded.records)
    groups = list(answers.groups(loaded))
    cells = per_cell(loaded.records, scored, estimates.per_cell_extra(groups))
    means = over_seeds(cells, estimates.intervals(groups))
    fair = oracle.fair(groups, loaded.records)
    found, unpaired = compare.compare(fair)
    across = overall.across(fair, means)
    audited = audit.audit(loaded.records, independent(loaded.records))
    experiments = published.measured(loaded.records, means)
    beside = published.published(experiments) if len(experiments) else None
    frames = {"summary": summary(cells, means), "comparisons": compare.as_frame(found)}
    shown = [tables.scores(means, found), *cost.tables(means, loaded.records)]
    shown += [tables.comparisons_table(found, compare.REGION)] if found else []
    shown += across.tables
    swept, unlike_ends = sweeps.changes(cells[cells["selection"] != oracle.WORD], fair, loaded.queries)
    changed = sweeps.table(swept)
    shown += [changed] if changed is not None else []
    looked_at = evidence.table(loaded.records)
    shown += [looked_at] if looked_at is not None else []
    files = {"sweeps.csv": csv_bytes(swept)} if len(swept) else {}
    if len(audited):
        shown.append(audit.table(audited))
        files["audit.csv"] = csv_bytes(audited)
    if beside is not None and len(beside):
        shown.append(published.table(beside))
        files["published.csv"] = csv_bytes(beside)
    detailed, left_out = plots.detailed(means)
    wanted = set(detailed.itertuples(index=False, name=None))
    close = [group for group in fair if (group.scenario, group.dataset, group.condition) in wanted]
    pictures = [
        *figures.curves(per_session(loaded.records, scored), cost.edit_names(loaded.records)),
        *plots.sweeps(means),
        *plots.tradeoffs(means.merge(detailed)),
        *across.pictures,
        *plots.disagreements(close),
        *class_plots.class_differences(close, means["method"].tolist(), loaded.class_names),
        *class_plots.forgetting_maps(loaded.records, scored, loaded.class_names),
    ]
    why_not: list[str] = []
    if galleries:
        from bench.reports.galleries import galleries as of_neighbours

        shown_near, why_not = of_neighbours(loaded, close, galleries)
        pictures += shown_near
    unequal, unlike = differences.differences(loaded)
    shown += [unequal] if unequal is not None else []
    warnings = [*loaded.warnings, *unlike, *audit.warnings(audited), *unpaired, *unlike_ends]

    for name, frame in frames.items():
        files |= {f"{name}.csv": csv_bytes(frame), f"{name}.parquet": parquet_bytes(frame)}
    for table in shown:
        files[f"tables/{table.name}.tex"] = latex.latex(table).encode()
    head = ["# Report", "", *(f"- **Warning:** {warning}" for warning in warnings), ""]
    notes = [f"- {note}" for note in (*across.notes, *why_not)]
    text = "\n".join([*head, *(tables.markdown(table) for table in shown), *notes]) + "\n"
    for picture in pictures:
        name = f"figures/{picture.name}"
        files |= {f"{name}.csv": csv_bytes(picture.data), f"{name}.png": picture.png, f"{name}.svg": picture.svg}
    files["report.md"] = text.encode()
    files["report.html"] = page.render(
        loaded, shown, pictures, [*warnings, *across.notes, *left_out, *why_not]
    ).encode()
    publish(out, files)
    return terminal.text(means, warnings, out, len(pictures))
