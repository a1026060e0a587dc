"""A stream of queries: shuffled, class after class, or drifting from class to class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.labelled import Labelled
from bench.sampling.measures.groups import OverTime
from bench.sampling.memory_source import check_declared, declared_or_bare, departures
from bench.sampling.query_orders import Order, in_order
from bench.utils.random import Stream


@scenario("stream")
@dataclass(frozen=True, kw_only=True)
class QueryStream:
    """The same queries in different orders; one condition per order.

    Karmanov et al., TDA, CVPR 2024, arXiv:2403.18293, and Zhang et al., DMN, CVPR 2024, arXiv:2403.17589, shuffle;
    orders by class: Yuan et al., RoTTA, CVPR 2023, arXiv:2303.13899. Measured is the accuracy in each fifth. An order
    that is not shuffled tells of labels; it is a condition, and conditions are never compared with one another.

    Attributes
    ----------
    orders : tuple of str
        ``shuffled``; ``by-class``: one class after the other, in an order drawn by seed; ``drifting``: between both.
    drift : float
        By how much of the stream a query moves from its class's place where it drifts, both ways together.
    shots : int or None
        Labelled images of a class; 0 deals none, so that methods have class texts and the memory; None all.
    """

    orders: Annotated[tuple[Order, ...], MinLen(1)] = ("shuffled", "by-class", "drifting")
    shots: Annotated[int, Ge(0)] | None = 4
    drift: Annotated[float, Ge(0)] = 0.2
    memory: Literal["none", "declared"] = "none"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the orders."""
        check_declared(dataset, self.memory, "stream.memory")
        told = {**departures(dataset, self.classes), "shots": self.shots}
        yield from ({**told, "order": order} for order in self.orders)

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session whose queries come in the order."""
        frame = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory)
        support = frame.shots(self.shots, rng) if self.shots != 0 else frame.pool.take([])
        session = frame.session(support, *declared_or_bare(dataset, self.memory, "stream.memory"))
        session = in_order(session, condition["order"], rng, drift=self.drift)
        return Episode(sessions=(replace(session, measure=OverTime()),))
