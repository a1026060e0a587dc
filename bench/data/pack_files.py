"""The names of files of a feature pack, which need nothing imported."""

from __future__ import annotations

MANIFEST = "pack.yaml"
"""What a pack is, in YAML; a folder that has it is a pack."""
