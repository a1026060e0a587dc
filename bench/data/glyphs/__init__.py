"""Glyphs: a small image-text dataset of Unicode characters, and an encoder for it.

Classes are characters, their text is the Unicode name, their images are drawn
from the DejaVu fonts that matplotlib ships.  Nothing is downloaded, and every
pixel and sentence follows from a seed.  See ``docs/glyphs.md``.
"""
