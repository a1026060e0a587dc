"""Records and predictions on disk: their columns, and the folder of a run."""
