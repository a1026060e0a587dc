"""Versions of a pack: what was added, removed and relabelled, when and why, and the pack as it was."""
