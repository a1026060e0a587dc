"""Nearest neighbours by cosine: the one search that every method uses.

The default engine is exact; :func:`engine` puts another in force for a block of code.
"""

from bench.search.engines import Engine, engine, engine_in_force
from bench.search.exact import Exact, top_k
from bench.search.index import Index
from bench.search.neighbours import Neighbours

__all__ = ["Engine", "Exact", "Index", "Neighbours", "engine", "engine_in_force", "top_k"]
