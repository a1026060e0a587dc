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

    Measured are the height of mistakes (Bertinetto et al., Making Better Mistakes, CVPR 2020, arXiv:1912.09393) and
    what backing off to an ancestor gains (Geirhos et al., arXiv:2408.08172).

    Attributes
    ----------
    tree : Path or None
        JSON of each class's ancestors, root's child first, iNaturalist's annotations, or WordNet's ``data.noun``. None
        makes one of leading words of names, where half of the classes share one, else of mean images (it is said).
    synsets : Path or None
        With WordNet: lines ``n01440764 tench`` by name or in the order of labels. None reads names of classes as nouns.
    levels : int
        Of a tree of mean images.
    """

    tree: Path | None = None
    synsets: Path | None = None
    levels: Annotated[int, Ge(1)] = 3
    shots: Annotated[int, Ge(1)] | None = 4
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: what the tree is of, and the shots."""
        of = tree_of(dataset, eligible(dataset, self.classes), self.tree, self.levels, self.synsets).of
        yield {**departures(dataset, self.classes), "tree": of, "shots": self.shots}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session."""
        frame = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory)
        nodes = tree_of(dataset, frame.ids, self.tree, self.levels, self.synsets).nodes
        memory = declared_or_bare(dataset, "none", "hierarchy.memory")
        session = frame.session(frame.shots(condition["shots"], rng), *memory, {"tree_nodes": int(nodes.max()) + 1})
        return Episode(sessions=(replace(session, measure=Hierarchy(nodes)),))
