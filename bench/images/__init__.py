"""Sources of labelled images: folders, tables and shards of files."""

from bench.images.encode import EncodedImages, encode_source, encode_texts
from bench.images.folder import image_folder
from bench.images.items import ImageItem, ImageSource, SetAside
from bench.images.shards import tar_shards
from bench.images.sources import open_source
from bench.images.table import image_table

__all__ = [
    "EncodedImages",
    "ImageItem",
    "ImageSource",
    "SetAside",
    "encode_source",
    "encode_texts",
    "image_folder",
    "image_table",
    "open_source",
    "tar_shards",
]
