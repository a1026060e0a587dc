"""Engines by name, as ``--search`` takes them."""

from __future__ import annotations

from typing import Any

from bench.search import Engine, Exact
from bench.search.approximate.engine import Approximate, Recipe
from bench.search.approximate.faiss_recipes import HNSW, IVFPQ, SQ8
from bench.search.approximate.milvus import Milvus
from bench.utils.errors import BenchError, suggest
from bench.utils.params import convert, make, parse

RECIPES: dict[str, type] = {"hnsw": HNSW, "ivfpq": IVFPQ, "sq8": SQ8, "milvus": Milvus}
"""The approximate and external engines; ``exact`` is the one that is always there."""


def named_engine(text: str) -> Engine:
    """Return the engine of a text: ``exact:product=fp32``, ``hnsw:m=32:ef=128``, ``milvus:items.db:index=hnsw``.

    Raises
    ------
    BenchError
        For an unknown engine or parameter, a value out of range, and an engine that cannot work here (a package that
        is not installed, an address that does not answer).
    """
    name, _, rest = text.strip().partition(":")
    if name != "exact" and name not in RECIPES:
        raise BenchError(f"unknown search engine {text!r}{suggest(name, ['exact', *RECIPES])}")
    values: dict[str, Any] = {}
    words = rest.split(":") if rest else []
    # Parameters stand last, so that an address with colons of its own stays whole.
    while words and words[-1].partition("=")[0].isidentifier() and "=" in words[-1]:
        key, _, value = words.pop().partition("=")
        values[key] = parse(value)
    owner = f"--search {name}"
    if name == "milvus":
        if not words:
            raise BenchError(f"{owner} needs an address: milvus:FILE.db or milvus:http://HOST:19530")
        given = {key: convert(Milvus, owner, key, value) for key, value in values.items()}
        recipe: Recipe = Milvus(uri=":".join(words), **given)
    elif words:
        raise BenchError(f"--search {text}: {words[0]!r} is not PARAMETER=VALUE; write for instance hnsw:m=32:ef=128")
    elif name == "exact":
        exact: Exact = make(Exact, owner, values)
        return exact
    else:
        recipe = make(RECIPES[name], owner, values)
    recipe.check()
    return Approximate(recipe)
