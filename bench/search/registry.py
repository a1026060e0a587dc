"""The search engines by name, and the decorator that registers one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bench.utils.registry import ENGINE, Registry

T = TypeVar("T", bound=type[Any])

ENGINES = Registry(ENGINE)


def search_engine(name: str, *, address: str = "", form: str = "") -> Callable[[T], T]:
    """Register an engine under its name, as ``--search`` takes it.

    It is a frozen dataclass of parameters: a :class:`~bench.search.engines.Engine`, or a
    :class:`~bench.search.approximate.engine.Recipe` of an index that proposes candidates.

    Parameters
    ----------
    address : str
        The field that takes what stands behind the name, for an engine that is elsewhere: ``milvus:FILE.db``.
    form : str
        How such an address is written, for the message where it is missing.
    """

    def register(cls: T) -> T:
        ENGINES.add(name, cls, options={"address": address, "form": form})
        return cls

    return register
