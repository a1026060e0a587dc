"""Completion in fish of names that stand in a list with commas, which click's own would cut off at the first."""

from __future__ import annotations

from click.shell_completion import FishComplete, add_completion_class


class ListsInFish(FishComplete):
    """Completes in fish what may hold commas: only the first one of an answer ends its kind."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


add_completion_class(ListsInFish)
