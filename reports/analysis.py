"""Everything that is computed from some runs, read once and shared by the report, ``bench verify`` and the exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.reports.metrics import cost, near_duplicates
from bench.reports.metrics.definitions import METRICS
from bench.reports.metrics.per_cell import Scores, scores
from bench.reports.published import accuracy as published
from bench.reports.records.arrow_columns import plain
from bench.reports.records.class_names import ClassNames
from bench.reports.records.disagreements import without_disagreeing
from bench.reports.records.few_shot_episodes import independent
from bench.reports.records.keys import GROUP
from bench.reports.records.labels_seen import labels_seen
from bench.reports.records.missing_parts import IMAGES_ONLY
from bench.reports.records.oracle import ORACLE
from bench.reports.records.paired_predictions import Group, groups, without_oracles
from bench.reports.records.run_differences import Differences, differences
from bench.reports.records.run_table import RunTable, read_runs
from bench.reports.records.sees import marked
from bench.reports.statistics import aggregate, sweep_changes
from bench.reports.statistics.across_datasets import AcrossDatasets, across_datasets
from bench.reports.statistics.across_encoders import EncoderComparison, across_encoders
from bench.reports.statistics.families import undecidable
from bench.reports.statistics.paired_tests import REGION, PairedComparison, paired_comparisons
from bench.reports.statistics.table_marks import Marks, marks
from bench.reports.utils.text import natural
from bench.results.checks import DisagreementError

_CONDITIONS = 3
"""Most conditions of a data set that each get figures of their own."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a reader chooses of the comparisons of a report.

    Attributes
    ----------
    baseline : str or None
        The method that all others are compared with; None for all pairs.
    classes : bool
        Whether intervals speak for new classes like these, so that classes are what is drawn.
    unequal_labels : bool
        Whether methods that saw different numbers of labels of the target classes are compared.
    """

    baseline: str | None = None
    classes: bool = False
    unequal_labels: bool = False


@dataclass(frozen=True, eq=False)
class Analysis:
    """Some runs and what is computed from them; each part is computed when it is first asked for, and once.

    Attributes
    ----------
    run_table : RunTable
        The runs' records, warnings and class names.
    galleries : int
        How many queries of each data set and condition are shown with what they were answered from.
    choices : Choices
    """

    run_table: RunTable
    galleries: int = 0
    choices: Choices = Choices()

    @classmethod
    def of(cls, folders: Sequence[Path], galleries: int = 0, choices: Choices = Choices()) -> Analysis:  # frozen
        """Read the runs at or below some folders; cells whose records and predictions disagree are left out.

        Raises
        ------
        BenchError
            If there is nothing to report, or a file is damaged or of a newer schema.
        """
        analysis = cls(read_runs(folders), galleries, choices)
        try:
            # All predictions are read here, so that no number comes from a record that they contradict.
            _ = analysis.groups
        except DisagreementError:
            return cls(without_disagreeing(analysis.run_table), galleries, choices)
        return analysis

    @property
    def records(self) -> pd.DataFrame:
        """One row a finished session."""
        return self.run_table.records

    @property
    def class_names(self) -> ClassNames:
        """By data set, the names of its classes by id."""
        return self.run_table.class_names

    @cached_property
    def baseline(self) -> str | None:
        """The method that all others are compared with, by the name that it has in the records."""
        wanted = self.choices.baseline
        if wanted is None:
            return None
        methods = self.records["method"].unique().tolist()
        alone = wanted not in methods and f"{wanted} ({IMAGES_ONLY})" in methods
        return marked(f"{wanted} ({IMAGES_ONLY})" if alone else wanted, methods)

    @cached_property
    def groups(self) -> list[Group]:
        """Predictions by group, method and seed."""
        return list(groups(self.run_table, classes=self.choices.classes))

    @cached_property
    def fair_groups(self) -> list[Group]:
        """The groups without methods that chose on the queries."""
        return without_oracles(self.groups, self.records)

    @cached_property
    def scores(self) -> Scores:
        """Metrics that the records' counts give, by cell, session and class."""
        return scores(self.records)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a cell: what it is, all metrics, its cost."""
        return aggregate.per_cell(self.records, self.scores, aggregate.from_predictions(self.groups))

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """One row a cell and session: accuracies."""
        return aggregate.per_session(self.records, self.scores)

    @cached_property
    def means(self) -> pd.DataFrame:
        """One row a group and method: means over seeds with 95 % bounds."""
        return aggregate.over_seeds(self.cells, aggregate.intervals(self.groups))

    @cached_property
    def methods(self) -> list[str]:
        """All methods: figures give each the same colour."""
        return sorted(self.records["method"].astype("str").unique())

    @cached_property
    def comparisons(self) -> tuple[list[PairedComparison], list[str]]:
        """The comparisons of every group, and what could not be compared."""
        return paired_comparisons(
            self.fair_groups,
            baseline=self.baseline,
            labels_seen=labels_seen(self.records),
            unequal=self.choices.unequal_labels,
        )

    @cached_property
    def marks(self) -> Marks:
        """The best of each column of the tables, and what is not shown to be worse."""
        return marks(self.fair_groups, self.means)

    @cached_property
    def across_datasets(self) -> tuple[list[AcrossDatasets], list[str]]:
        """Scenarios over several data sets, and why there is not more to say."""
        return across_datasets(self.fair_groups, self.means, region=REGION, baseline=self.baseline)

    @cached_property
    def across_encoders(self) -> list[EncoderComparison]:
        """Methods in the spaces of two encoders of the same images."""
        return across_encoders(self.fair_groups, self.records)

    @cached_property
    def sweep_changes(self) -> tuple[pd.DataFrame, list[str]]:
        """What each sweep changes, and what was left out because its queries differ."""
        fair_cells = self.cells[self.cells["selection"] != ORACLE]
        return sweep_changes.changes(fair_cells, self.fair_groups, self.run_table.queries)

    @cached_property
    def near_duplicates(self) -> pd.DataFrame:
        """Accuracy with and without the queries that have a near-duplicate; empty where that was not audited."""
        return near_duplicates.near_duplicates(self.records, independent(self.records))

    @cached_property
    def published(self) -> pd.DataFrame:
        """Published numbers beside the measured ones; empty for runs that belong to no experiment."""
        measured = published.measured(self.records, self.means)
        return published.published(measured) if len(measured) else measured

    @cached_property
    def edits(self) -> pd.DataFrame:
        """What each edit of a memory cost each method."""
        return cost.edits(self.records)

    @cached_property
    def differences(self) -> tuple[Differences, list[str]]:
        """Every setting in which the runs differ, and warnings of them."""
        return differences(self.run_table)

    @cached_property
    def detailed(self) -> tuple[pd.DataFrame, list[str]]:
        """The groups that get figures of their own, and a note where some do not (:func:`detailed`)."""
        return detailed(plain(self.records[GROUP].drop_duplicates()))

    @cached_property
    def detailed_groups(self) -> list[Group]:
        """The fair groups that get figures of their own."""
        shown = set(self.detailed[0].itertuples(index=False, name=None))
        return [group for group in self.fair_groups if group.key in shown]

    @property
    def run_warnings(self) -> tuple[str, ...]:
        """What plug-ins of metrics and the runs themselves warn of."""
        return (*METRICS.warnings, *self.run_table.warnings)

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader must know before believing a number."""
        return [
            *self.run_warnings,
            *self.differences[1],
            *near_duplicates.warnings(self.near_duplicates),
            *self.comparisons[1],
            *undecidable(self.comparisons[0]),
            *near_duplicates.clustered(self.groups),
            *self.sweep_changes[1],
        ]


def detailed(groups: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the groups that get figures of their own, and a note where some do not.

    A sweep has a curve; of the conditions of one data set beyond three, only the first and the last get more.
    """
    rows, notes = [], []
    for (scenario, dataset), part in groups.groupby(["scenario", "dataset"], sort=True):
        conditions = sorted(part["condition"].unique(), key=natural)
        if len(conditions) > _CONDITIONS:
            notes.append(f"{scenario} on {dataset}: figures by condition show the first and last of {len(conditions)}")
            conditions = [conditions[0], conditions[-1]]
        rows += [(scenario, dataset, condition) for condition in conditions]
    return pd.DataFrame(rows, columns=GROUP), notes
