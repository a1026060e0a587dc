"""A content-addressed cache of features, shared by all runs of a user."""

from bench.cache.location import INDEXES, PACKS, SOURCES, TOWERS, cache_root
from bench.cache.store import FeatureCache, Space

__all__ = ["INDEXES", "PACKS", "SOURCES", "TOWERS", "FeatureCache", "Space", "cache_root"]
