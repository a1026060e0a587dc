"""What the memory-modular learner holds: trained weights, and the memory and prototypes plugged into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from bench.core.memory import Items
from bench.core.state_bytes import STATISTICS
from bench.functional.attention import Block


@dataclass(frozen=True, eq=False)
class Weights:
    """What is trained or chosen, once for all memories.

    Attributes
    ----------
    image, text : Block
        One attention block for each branch, together 24 d^2 + 34 d numbers (6.3 M at d = 512); ``text`` is None where
        both share one.
    image_weight : float
        What the image branch counts for beside the text branch.
    trained_on : str
        ``no`` for untrained ones.
    chosen_on : str
        On what the epoch and the image weight were chosen; ``nothing`` where they were not.
    epoch : int
        The epoch that was kept of the last training; 0 is its start.
    tried : int
        Among how many weights that was chosen: the start, the epochs, and image weights of the first and the last.
    """

    image: Block
    text: Block | None
    image_weight: float = 1.0
    trained_on: str = "no"
    chosen_on: str = "nothing"
    epoch: int = 0
    tried: int = 1

    def tensors(self) -> list[Tensor]:
        """Return all weights of the blocks."""
        return [*self.image.tensors(), *(self.text.tensors() if self.text else [])]

    def map(self, change: Callable[[Tensor], Tensor]) -> Weights:
        """Return weights with ``change`` applied to every tensor."""
        return replace(self, image=self.image.map(change), text=self.text.map(change) if self.text else None)


@dataclass(frozen=True, eq=False)
class Branch:
    """One modality plugged in.

    Attributes
    ----------
    items : Items
        What the modality's own memory holds.
    searched : Items
        What the branch retrieves from: ``items``, or those of both modalities for a unified memory.
    prototypes : Tensor [c, d]
        Unit norm.
    on : bool
        Whether the branch takes part.
    """

    items: Items
    searched: Items
    prototypes: Tensor = field(metadata=STATISTICS)
    on: bool


@dataclass(frozen=True, eq=False)
class Modular:
    """The state.

    Attributes
    ----------
    norm : float or None
        What features are given; None leaves them as they are.
    spared : str array [h]
        Ids of the images of the memory, or of the last support, that were held out of every training on them.
    """

    weights: Weights
    image: Branch
    text: Branch
    norm: float | None
    spared: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.str_))
