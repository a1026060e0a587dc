"""Engines by name, as ``--search`` takes them."""

from __future__ import annotations

from typing import Any

from bench.search.approximate.engine import Approximate
from bench.search.engines import Engine
from bench.search.registry import ENGINES
from bench.utils.errors import BenchError, suggest
from bench.utils.params import convert, parse


def named_engine(text: str) -> Engine:
    """Return the engine of a text: ``exact:product=fp32``, ``hnsw:m=32:ef=128``, ``milvus:items.db:index=hnsw``.

    Raises
    ------
    BenchError
        For an unknown engine or parameter, a value out of range, and an engine that cannot work here (a package that
        is not installed, an address that does not answer).
    """
    name, _, rest = text.strip().partition(":")
    entry = ENGINES.find(name)
    if entry is None:
        raise BenchError(f"unknown search engine {name!r}{suggest(name, ENGINES.names())}")
    given: dict[str, Any] = {}
    words = rest.split(":") if rest else []
    # Parameters stand last, so that an address with colons of its own stays whole.
    while words and words[-1].partition("=")[0].isidentifier() and "=" in words[-1]:
        key, _, value = words.pop().partition("=")
        given[key] = parse(value)
    owner = f"--search {name}"
    given = {key: convert(entry.cls, owner, key, value) for key, value in given.items()}
    address = entry.options.get("address")
    if address:
        if not words:
            raise BenchError(f"{owner} needs an address: {entry.options['form']}")
        given[address] = ":".join(words)
    elif words:
        raise BenchError(f"--search {name}: {words[0]!r} is not PARAMETER=VALUE; write for instance hnsw:m=32:ef=128")
    made = entry.cls(**given)
    if isinstance(made, Engine):
        return made
    made.check()
    return Approximate(made)
