"""What tests of data share."""

from tests.unit.data.scripted_wiki import wiki

__all__ = ["wiki"]
