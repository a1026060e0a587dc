"""Finished runs in the files of experiment trackers."""
