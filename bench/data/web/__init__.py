"""A memory found by class names: sentences from Wikipedia, images from search engines or folders."""

from bench.data.web.build_memory import MemoryOptions, build_memory
from bench.data.web.edit_memory import merge, subset
from bench.data.web.image_search import crawl_images
from bench.data.web.sentences import Sentence, harvest_sentences
from bench.data.web.wikipedia import Article, WikiClient

__all__ = [
    "Article",
    "MemoryOptions",
    "Sentence",
    "WikiClient",
    "build_memory",
    "crawl_images",
    "harvest_sentences",
    "merge",
    "subset",
]
