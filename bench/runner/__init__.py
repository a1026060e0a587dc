"""The runner: plans a run, computes its cells, measures them and writes records."""
