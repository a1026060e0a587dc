"""Engines for memories that exact search is too slow or too large for: approximate ones of faiss, and Milvus.

:func:`bench.indexes.names.named_engine` makes any of them from the text of ``--search``.
"""
