"""Units of work: cells of one episode, which share its retrieval."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.utils.errors import BenchError
from bench.utils.names import shown
from bench.utils.whole_numbers import whole_number


@dataclass(frozen=True)
class WorkUnit:
    """Cells of one episode that are run together.

    Attributes
    ----------
    episode : int
        Position among the run's episodes.
    cells : mapping of str to str
        Cell by method label, in the order of the run's methods.
    group : hashable
        The same for episodes that share work; see :attr:`bench.runner.plan.EpisodeSpec.group`.
    """

    episode: int
    cells: Mapping[str, str]
    group: Hashable = None

    def without(self, gone: Collection[str]) -> WorkUnit:
        """Return the unit without some cells."""
        left = {label: cell for label, cell in self.cells.items() if cell not in gone}
        return replace(self, cells=left)

    def split(self, parts: int) -> list[WorkUnit]:
        """Return the cells dealt in turn to at most ``parts`` work units."""
        items = list(self.cells.items())
        return [replace(self, cells=dict(items[part::parts])) for part in range(min(parts, len(items)))]


def work_units(
    episodes: Sequence[Mapping[str, str]],
    finished: Collection[str],
    workers: int,
    groups: Sequence[Hashable] | None = None,
) -> list[WorkUnit]:
    """Return the work that is left as work units for a number of workers.

    An episode stays whole, so that its methods share one retrieval. Only the last ``n mod workers`` of n episodes,
    which would leave workers idle, are split by method.

    Parameters
    ----------
    episodes : sequence of mapping of str to str
        The cells of each episode, by method label.
    groups : sequence of hashable, optional
        The group of each; all are of one unless said.
    """
    group = groups or [None] * len(episodes)
    open_ = [WorkUnit(n, cells, group[n]).without(finished) for n, cells in enumerate(episodes)]
    open_ = [unit for unit in open_ if unit.cells]
    whole = len(open_) // workers * workers
    return open_[:whole] + [part for unit in open_[whole:] for part in unit.split(workers)]


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count`` of a run, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @staticmethod
    def parse(text: str) -> Shard:
        """Return the shard that ``2/8`` names; anything else raises :class:`BenchError`."""
        number, count = (whole_number(part) for part in text.partition("/")[::2])
        if number is None or count is None or not 1 <= number <= count:
            raise BenchError(f"--shard {shown(text)} is not NUMBER/COUNT; write 1/8 to 8/8")
        return Shard(number, count)

    def of(self, episodes: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """Return what this shard has of each episode's cells, by method label.

        Episodes go in the order of a cell's digest, which all shards agree on and which mixes cheap and dear ones, in
        turn to the shards. The last ``n mod count`` of n episodes are shared out cell by cell, so that no shard
        has more than one cell more than another.
        """
        order = sorted(range(len(episodes)), key=lambda n: min(episodes[n].values()))
        whole = len(order) // self.count * self.count
        mine = set(order[self.number - 1 : whole : self.count])
        rest = sorted(cell for n in order[whole:] for cell in episodes[n].values())
        single = set(rest[self.number - 1 :: self.count])
        return [
            {label: cell for label, cell in cells.items() if n in mine or cell in single}
            for n, cells in enumerate(episodes)
        ]
