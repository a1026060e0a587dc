"""Few-shot problems: a few random classes at a time, with a few queries each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bench.core.features import Features
from bench.sampling.class_split import class_order
from bench.sampling.sessions import shots
from bench.utils.errors import BenchError
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Problem:
    """Classes to tell apart with their queries.

    Attributes
    ----------
    number : int
        Its place among those of its seed, from 0.
    rng : Stream
        Where everything else comes from that is drawn for it.
    """

    number: int
    classes: tuple[int, ...]
    queries: Features
    rng: Stream


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """The parameters of few-shot problems (Vinyals et al., Matching Networks, NeurIPS 2016, arXiv:1606.04080).

    Attributes
    ----------
    way : int or None
        Classes of a few-shot episode; None takes all target classes at once.
    episodes : int
        Few-shot episodes of each seed; where ``way`` is set.
    queries : int
        Queries of each class in a few-shot episode; where ``way`` is set.
    """

    way: Annotated[int, Ge(2)] | None = None
    episodes: Annotated[int, Ge(1)] = 600
    queries: Annotated[int, Ge(1)] = 15

    def problems(
        self, classes: Sequence[int], queries: Features, rng: Stream, *, dataset: str, owner: str
    ) -> Iterator[Problem]:
        """Yield the problems of a seed, or one of all classes; an error if there are fewer classes than the way.

        Parameters
        ----------
        dataset, owner : str
            The data set and the scenario, for messages.
        """
        if self.way is None:
            yield Problem(0, tuple(classes), queries.of_classes(classes), rng)
            return
        if self.way > len(classes):
            raise BenchError(f"{owner}.way={self.way} but there are {len(classes)} target classes; lower it")
        for number in range(self.episodes):
            stream = rng.child("episode", number)
            drawn = tuple(class_order(queries.class_names, classes, stream.child("classes"))[: self.way])
            asked = queries.of_classes(drawn)
            asked = shots(asked, self.queries, stream.child("queries"), dataset=dataset, scarce="use")
            yield Problem(number, drawn, asked, stream)
