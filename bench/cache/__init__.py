"""A content-addressed cache of features, shared by all runs of a user."""

from bench.cache.location import INDEXES, PACKS, TOWERS, cache_root
from bench.cache.store import FeatureCache, Space

__all__ = ["INDEXES", "PACKS", "TOWERS", "FeatureCache", "Space", "cache_root"]
