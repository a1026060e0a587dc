"""What methods are given of an episode: private copies, in an order and under ids that tell nothing.

A scenario deals data sets as they are, with queries class after class and ids such as ``cat/12``. A method is handed

- queries in a random order, as vectors alone; their answers are put back into the order in which they were dealt;
- support, memory and class texts under ids that are hashes, and the support in a random order, so that neither tells
  the class of an item whose label was made wrong;
- images of support and memory alone, without names;
- copies of its own, so that what it writes into them no other method sees. It is an error to write into them at all.

Nothing stops a plug-in that reads files or other objects of the process: this guards against accidents, not crime.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.rows import Rows
from bench.core.task import Episode, ItemImages, Session, Task
from bench.cost.kept import Kept
from bench.cost.meter import uncounted
from bench.device.copies import PrivateCopier, private, written
from bench.device.moving import Movable, Mover
from bench.utils.errors import BenchError
from bench.utils.random import Stream

QUERY_BLOCK = 8192
"""Queries scored at a time, so that scores of 1000 classes stay below 32 MiB."""

P = TypeVar("P", bound=Movable)


class ChangedInputError(BenchError):
    """A method wrote into what it was given."""


def method_stream(seed: int, name: str) -> Stream:
    """Return the stream of a method's draws, from whose seed that of the run does not follow."""
    return Stream(int.from_bytes(Stream(seed).child("method", name).key()[:8], "big"))


@dataclass(frozen=True, eq=False)
class Blocks:
    """The queries of a session as methods meet them.

    Attributes
    ----------
    order : int64 Tensor [q]
        Where each query stood when it was dealt.
    labels : int64 Tensor [q]
        In the methods' order; for the harness alone.
    parts : tuple of Tensor
        Float32 blocks; every method is given copies of them.
    """

    order: Tensor
    labels: Tensor
    parts: tuple[Tensor, ...]

    def dealt(self, answers: Tensor) -> Tensor:
        """Return answers of the queries in the order in which they were dealt."""
        back = torch.empty_like(answers)
        back[self.order.to(answers.device)] = answers
        return back


class Handover:
    """An episode as methods are given it, made once and shared by the cells of an episode.

    Parameters
    ----------
    episode : Episode
        As dealt, on the device.
    seed : int
    kept : Kept, optional
        Has the queries of earlier episodes, which stand for those that are the same.
    as_dealt : bool
        Leave ids and orders as they are, for whoever keeps a state beside the items that it was built from.
    """

    def __init__(self, episode: Episode, seed: int, *, kept: Kept[Any] | None = None, as_dealt: bool = False) -> None:
        self.episode, self.seed, self._kept, self._as_dealt = episode, seed, kept, as_dealt
        streams = Stream(seed).child("handover")
        self._held_out = streams.child("held-out")
        self._queries = streams.child("queries")
        self._nameless = _Nameless(streams.child("ids"), streams.child("support"))
        self._blocks: dict[int, tuple[Features, Blocks]] = {}

    @cached_property
    def blocks(self) -> tuple[Blocks, ...]:
        """The queries of each session; sessions that ask the same queries share them, so that a search serves all."""
        return tuple(self.blocks_of(session.asked, session.order) for session in self.episode.sessions)

    def blocks_of(self, queries: Features, asked: tuple[int, ...] | None = None) -> Blocks:
        """Return queries in the order that they are asked in, or in one that tells nothing: by hashes of their ids."""
        known = self._blocks.get(id(queries))
        if known is None:
            order = torch.from_numpy(self._queries.order(queries.ids)) if asked is None else torch.tensor(asked)
            x, labels = queries.x[order.to(queries.x.device)].float(), queries.labels[order.to(queries.labels.device)]
            parts = torch.split(x, QUERY_BLOCK)
            if self._kept is not None:
                parts = tuple(self._kept.same(part) for part in parts)
            known = self._blocks[id(queries)] = queries, Blocks(order, labels, tuple(parts))
        return known[1]

    def held_out(self, images: Features, count: Callable[[int], int]) -> Tensor:
        """Return which images are held out, bool [n]: of a class with n images ``count(n)``, by hashes of their ids."""
        order = torch.from_numpy(self._held_out.order(images.ids))
        mask, labels = torch.zeros(len(images), dtype=torch.bool), images.labels.cpu()
        for label in labels.unique().tolist():
            rows = order[labels[order] == label]
            mask[rows[: count(len(rows))]] = True
        return mask

    def nameless(self, part: P) -> P:
        """Return a task or session with ids that are hashes, the support in another order, and without notes."""
        return part if self._as_dealt else self._nameless(part)

    def names(self, ids: Collection[str]) -> list[str]:
        """Return what methods are given for the ids of items."""
        if self._as_dealt:
            return list(ids)
        given: list[str] = self._nameless.names(np.array(list(ids), dtype=np.str_)).tolist()
        return given

    def items(self, given: Collection[str]) -> dict[str, str]:
        """Return the ids of items in the episode by what methods are given for them."""
        found: dict[str, str] = {}
        for session in self.episode.sessions:
            task = session.task
            for rows in (task.support, task.memory.images, task.memory.texts, task.prompts):
                names = self._nameless.names(rows.ids)
                here = np.isin(names, list(given))
                found |= dict(zip(names[here].tolist(), rows.ids[here].tolist(), strict=True))
        return found


class Handed:
    """What one method is given in one cell, and whether it leaves that as it was.

    Parameters
    ----------
    label : str
        The method's, for the message.
    targets : collection of int
        Classes whose labels are counted when they are read; none counts nothing.
    """

    def __init__(self, label: str, targets: Collection[int] = ()) -> None:
        self._label = label
        self._targets = torch.tensor(sorted(targets), dtype=torch.int64)
        self._read: list[np.ndarray] = []
        self._begin()

    def _begin(self) -> None:
        self._copier = _Copier(self._opened if len(self._targets) else None)
        self._versions: list[int] = []

    def give(self, part: P) -> P:
        """Return a private copy of a task or session, the same each time it is asked for the same one."""
        with uncounted():
            copy = self._copier(part)
        pairs = self._copier.pairs
        self._versions += [made._version for made, _ in pairs[len(self._versions) :]]
        return copy

    def check(self) -> None:
        """Raise :class:`ChangedInputError` if torch wrote into a copy since it was given."""
        if any(pair[0]._version != version for pair, version in zip(self._copier.pairs, self._versions, strict=True)):
            self._fail("what it was built from")

    @contextmanager
    def block(self, block: Tensor) -> Iterator[Tensor]:
        """Yield a private copy of a block of queries; raise :class:`ChangedInputError` if it is not left as it was."""
        with uncounted():
            copy = private(block)
        yield copy
        with uncounted():
            if written(copy, block):
                self._fail("the queries")
        self.check()

    def take_back(self) -> None:
        """Raise :class:`ChangedInputError` if any copy holds other values than its original; begin with new copies."""
        with uncounted():
            if any(written(copy, original) for copy, original in self._copier.pairs):
                self._fail("what it was built from")
        self._begin()

    def count(self, rows: Rows) -> None:
        """Count labelled images whose labels were read on behalf of the method."""
        if len(self._targets):
            self._opened(rows)

    def count_choice(self, given: Task, dealt: Task) -> None:
        """Count all labelled images of a dealt task if a method read the labels of those that were chosen of them.

        They were there to choose from: a method for which the harness keeps fewer was shown no fewer.
        """
        if not given.support.is_sealed:
            self.count(dealt.support)
        if dealt.memory.images.annotated and not given.memory.images.is_sealed:
            self.count(dealt.memory.images)

    def labels_seen(self) -> int:
        """Return how many labelled images of the target classes the method read labels of, or chose from, so far."""
        if len(self._read) > 1:
            self._read = [np.unique(np.concatenate(self._read))]
        return sum(len(ids) for ids in self._read)

    def _opened(self, rows: Rows) -> None:
        wanted = torch.isin(rows.labels.cpu(), self._targets)
        self._read.append(rows.ids[wanted.numpy()])

    def _fail(self, what: str) -> NoReturn:
        raise ChangedInputError(
            f"method {self._label} changed {what} in place; let it make new tensors, such as x = x / norm for x /= norm"
        )


class _Nameless(Mover):
    """Exchanges what tells more of an item than it should; see :meth:`Handover.nameless`."""

    def __init__(self, names: Stream, order: Stream) -> None:
        super().__init__("cpu")
        self._names, self._order = names, order

    def names(self, ids: np.ndarray) -> np.ndarray:
        """Return what methods are given for ids: their hashes in hexadecimal, str [n]."""
        digits = self._names.marks(ids).astype(">u8").tobytes().hex().encode()
        return np.frombuffer(digits, dtype="S16").astype("U16") if len(ids) else np.zeros(0, dtype="U16")

    def _move(self, part: Any) -> Any:
        if isinstance(part, Tensor):
            return part
        if isinstance(part, Rows):
            return self._rows(part)
        if isinstance(part, Task):
            part = replace(part, support=self._shuffled(part.support), pictures=self._images(part))
        elif isinstance(part, Session):
            part = replace(part, notes={}, edit=None, strangers=None, measure=None, order=None)
        made = super()._move(part)
        vars(made).pop("fingerprint", None)
        return made

    def _shuffled(self, support: Features) -> Features:
        return support.take(torch.from_numpy(self._order.order(support.ids))) if len(support) else support

    def _rows(self, rows: Rows) -> Rows:
        ids = self.names(rows.ids)
        ids.flags.writeable = False
        made = replace(rows, ids=ids)
        vars(made).update({name: value for name, value in vars(rows).items() if name == "row_digests"})
        return made

    def _images(self, task: Task) -> ItemImages | None:
        if task.pictures is None:
            return None
        memories = [task.memory] if task.prototype_memory is None else [task.memory, task.prototype_memory]
        ids = np.concatenate([task.support.ids, *(memory.images.ids for memory in memories)])
        return NamelessImages(task.pictures, dict(zip(self.names(ids).tolist(), ids.tolist(), strict=True)))


class NamelessImages:
    """Images under the ids that a method knows them by; see :class:`bench.core.task.ItemImages`.

    Parameters
    ----------
    pictures : ItemImages
        All images of a data set.
    names : mapping of str to str
        Of those that may be looked at, the ids in ``pictures``.
    """

    def __init__(self, pictures: ItemImages, names: Mapping[str, str]) -> None:
        def own(ids: np.ndarray) -> np.ndarray:
            return np.array([names[name] for name in ids.tolist()], dtype=np.str_)

        def pixels(ids: np.ndarray) -> Tensor:
            return pictures.pixels(own(ids))

        def encoded(ids: np.ndarray, change: Callable[[Any, str], Any]) -> Tensor:
            given = {name: known for known, name in names.items()}
            return pictures.encoded(own(ids), lambda image, name: change(image, given[name]))

        def reader(name: str) -> Callable[[], bytes]:
            return lambda: pictures.read[name]()

        # In closures, so that no attribute leads to the images of queries.
        self.encoder = pictures.encoder
        self.check = pictures.check
        self.pixels = pixels
        self.encoded = encoded
        self.read = {given: reader(name) for given, name in names.items() if name in pictures.read}


class _Copier(PrivateCopier):
    """Makes private copies in which the labels of labelled images are sealed, so that it is known who reads them."""

    def __init__(self, opened: Callable[[Rows], None] | None) -> None:
        super().__init__()
        self._opened = opened

    def _move(self, part: Any) -> Any:
        made = super()._move(part)
        if self._opened is None:
            return made
        if isinstance(made, Task):
            apart = made.prototype_memory
            return replace(
                made,
                support=made.support.sealed(self._opened),
                choose_on=made.choose_on and made.choose_on.sealed(self._opened),
                memory=self._sealed(made.memory),
                prototype_memory=None if apart is None else self._sealed(apart),
            )
        if isinstance(made, Session):
            return replace(made, queries=made.queries.sealed(self._opened))
        return made

    def _sealed(self, memory: Memory) -> Memory:
        assert self._opened is not None
        return memory.replace(images=memory.images.sealed(self._opened)) if memory.images.annotated else memory
