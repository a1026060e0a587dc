"""The declared protocol by which defaults are chosen: ``python -m tools.choose_defaults``."""
