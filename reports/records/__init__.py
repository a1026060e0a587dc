"""Runs read from disk: one table of records, predictions lined up by query, what a reader must be warned of."""
