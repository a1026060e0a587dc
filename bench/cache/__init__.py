"""A content-addressed cache of features, shared by all runs of a user."""

from bench.cache.location import cache_root
from bench.cache.store import FeatureCache, Space
from bench.data.cache_listing import PACKS, list_spaces, prune, verify

__all__ = ["PACKS", "FeatureCache", "Space", "cache_root", "list_spaces", "prune", "verify"]
