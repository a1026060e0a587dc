"""The field's standard data sets, declared as data: origin, layout on disk, splits."""

from bench.datasets_declared.declaration import Declaration, declarations
from bench.datasets_declared.prepare import Prepared, encode_declared, prepare

__all__ = ["Declaration", "Prepared", "declarations", "encode_declared", "prepare"]
