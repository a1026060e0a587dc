"""The field's standard data sets, declared as data: origin, layout on disk, splits."""

from bench.data.declaration import Declaration, declarations, declared
from bench.data.standard.prepare import Prepared, encode_declared, prepare

__all__ = ["Declaration", "Prepared", "declarations", "declared", "encode_declared", "prepare"]
