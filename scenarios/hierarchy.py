"""How bad mistakes are over a tree of classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.class_trees import tree_of
from bench.sampling.labelled import Labelled
from bench.sampling.measures.hierarchy import Hierarchy
from bench.sampling.memory_source import declared_or_bare, departures
from bench.utils.random import Stream


@scenario("hierarchy")
@dataclass(frozen=True, kw_only=True)
class ClassHierarchy:
    """Labelled images and queries as in few-shot classification; mistakes are weighed by a tree of the classes.

    Bertinetto et al., Making Better Mistakes, CVPR 2020, arXiv:1912.09393; answers that back off to an ancestor:
    Geirhos et al., arXiv:2408.08172, on iNaturalist's taxa. Measured are the height of mistakes and what backing off
    gains.

    Attributes
    ----------
    tree : Path or None
        JSON file: the ancestors of each class by its name, from the root's child to its parent; or iNaturalist's
        annotations, whose ranks from kingdom to genus are the tree; or WordNet's ``data.noun``. None makes a tree: of
        the leading words of the names, where half of the classes share one (Unicode scripts of glyphs), else of the
        mean labelled images by average linkage, which the condition says.
    synsets : Path or None
        With WordNet: file of lines ``n01440764 tench`` that say which synset a class is, by its name or in the order of
        the labels. None finds those whose names have a synset in them or are one noun's alone.
    levels : int
        How many levels a tree of mean images is cut to.
    """

    tree: Path | None = None
    synsets: Path | None = None
    levels: Annotated[int, Ge(1)] = 3
    shots: Annotated[int, Ge(1)] | None = 4
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: what the tree is of, and the shots."""
        made = tree_of(dataset, eligible(dataset, self.classes), self.tree, self.levels, self.synsets)
        yield {**departures(dataset, self.classes), "tree": made.of, "shots": self.shots}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session."""
        frame = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory)
        made = tree_of(dataset, frame.ids, self.tree, self.levels, self.synsets)
        memory = declared_or_bare(dataset, "none", "hierarchy.memory")
        notes = {"tree_nodes": int(made.nodes.max()) + 1}
        session = frame.session(frame.shots(condition["shots"], rng), *memory, notes)
        return Episode(sessions=(replace(session, measure=Hierarchy(made.nodes)),))
