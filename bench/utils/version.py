"""The version of the distribution and of the result schema."""

__version__ = "0.1.0"

SCHEMA = 2
"""Version of the result record; raised whenever a column changes its meaning."""
