"""Forms of intervals and tests on plain arrays: limits of shares, means over seeds and units."""
