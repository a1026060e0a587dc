"""Engines for memories that exact search is too slow or too large for: approximate ones of faiss, and Milvus.

:func:`bench.search.approximate.by_name.named_engine` makes any of them from the text of ``--search``.
"""
