"""What a manifest declares of a memory: items of splits, with the noise that is laid over them."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le, Lt
from pydantic import BaseModel, ConfigDict


class Entry(BaseModel):
    """One entry of ``memory.images``: items of a split of this pack, or of the one named by ``pack``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    split: str
    pack: str | None = None
    wrong_class_rate: Annotated[float, Ge(0), Le(1)] = 0.0
    off_topic: int | None = None
    off_topic_share: Annotated[float, Ge(0), Lt(1)] | None = None


class Declared(BaseModel):
    """What stands under ``memory`` in a manifest."""

    model_config = ConfigDict(strict=True, extra="forbid")

    seed: int = 0
    images: list[Entry] = []
