"""Numbers of single cells: every metric, what a cell costs, near-duplicates, evidence."""
