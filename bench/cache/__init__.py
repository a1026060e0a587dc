"""A content-addressed cache of features, shared by all runs of a user."""

from bench.cache.location import INDEXES, PACKS, cache_root
from bench.cache.store import FeatureCache, Space

__all__ = ["INDEXES", "PACKS", "FeatureCache", "Space", "cache_root"]
