"""Numbers over seeds, queries and data sets: means, intervals, tests, ranks."""
