"""Units of work: cells of one episode, which share its retrieval."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.utils.errors import BenchError


@dataclass(frozen=True)
class Piece:
    """Cells of one deal that are run together.

    Attributes
    ----------
    deal : int
        Position among the run's deals.
    cells : mapping of str to str
        Cell by method label, in the order of the run's methods.
    """

    deal: int
    cells: Mapping[str, str]

    def without(self, gone: Collection[str]) -> Piece:
        """Return the piece without some cells."""
        return Piece(self.deal, {label: cell for label, cell in self.cells.items() if cell not in gone})

    def split(self, parts: int) -> list[Piece]:
        """Return the cells dealt in turn to at most ``parts`` pieces."""
        items = list(self.cells.items())
        return [Piece(self.deal, dict(items[part::parts])) for part in range(min(parts, len(items)))]


def pieces(deals: Sequence[Mapping[str, str]], finished: Collection[str], workers: int) -> list[Piece]:
    """Return the work that is left as pieces for a number of workers.

    A deal stays whole, so that its methods share one retrieval. Only the last ``n mod workers`` of n deals, which
    would leave workers idle, are split by method.

    Parameters
    ----------
    deals : sequence of mapping of str to str
        The cells of each deal, by method label.
    """
    open_ = [Piece(n, cells).without(finished) for n, cells in enumerate(deals)]
    open_ = [piece for piece in open_ if piece.cells]
    whole = len(open_) // workers * workers
    return open_[:whole] + [part for piece in open_[whole:] for part in piece.split(workers)]


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
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise BenchError(f"--shard {text!r} is not NUMBER/COUNT; write 1/8 to 8/8")
        return Shard(int(number), int(count))

    def of(self, deals: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """Return what this shard has of each deal's cells, by method label.

        Deals go in the order of a cell's digest, which all shards agree on and which mixes cheap and dear ones, in
        turn to the shards. The last ``n mod count`` of n deals are dealt cell by cell, so that no shard has more than
        one cell more than another.
        """
        order = sorted(range(len(deals)), key=lambda n: min(deals[n].values()))
        whole = len(order) // self.count * self.count
        mine = set(order[self.number - 1 : whole : self.count])
        rest = sorted(cell for n in order[whole:] for cell in deals[n].values())
        single = set(rest[self.number - 1 :: self.count])
        return [
            {label: cell for label, cell in cells.items() if n in mine or cell in single}
            for n, cells in enumerate(deals)
        ]
