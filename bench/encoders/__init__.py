"""Frozen image-text encoders: any open_clip model, local checkpoints, ALIGN, and the bundled one."""

from bench.encoders.encoder import BATCH_TOLERANCE, Encoder, Texts
from bench.encoders.load import load_encoder
from bench.encoders.prompts import class_texts, read_templates

__all__ = ["BATCH_TOLERANCE", "Encoder", "Texts", "class_texts", "load_encoder", "read_templates"]
