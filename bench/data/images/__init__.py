"""Sources of labelled images: folders, tables and shards of files."""

from bench.data.images.encode import EncodedImages, encode_source, encode_texts
from bench.data.images.folder import image_folder
from bench.data.images.items import ImageItem, ImageSource, SetAside
from bench.data.images.open import open_source
from bench.data.images.table import image_table
from bench.data.images.webdataset import tar_shards

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
