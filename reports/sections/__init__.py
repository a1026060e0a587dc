"""Parts of a report: each yields its tables, its files of numbers and its figures from one analysis."""
