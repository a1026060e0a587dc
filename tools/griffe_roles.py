"""Reads the project's docstrings as Markdown: Sphinx roles become code, and indices such as ``a[i][j]`` no links."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|obj|exc):`~?(?P<name>[^`]+)`")


class Roles(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring is not None:
            text = _ROLE.sub(r"`\g<name>`", obj.docstring.value)
            obj.docstring.value = re.sub(r"\](\s?)\[", r"]\1\[", text)
