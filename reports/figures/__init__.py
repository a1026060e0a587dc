"""Figures, each a PNG, an SVG and the CSV behind it."""
