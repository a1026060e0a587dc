"""A page's Content-Security-Policy: it loads nothing, and obeys its own script and style alone, by their hash."""

from __future__ import annotations

import base64
import hashlib


def policy(style: str, script: str | None = None) -> str:
    """Return the policy of a page with one style and at most one script, each as it stands between its tags."""
    scripts = f"; script-src {source(script)}" if script is not None else ""
    return f"default-src 'none'; img-src data:; style-src {source(style)}{scripts}; base-uri 'none'; form-action 'none'"


def source(text: str) -> str:
    """Return how a policy names a script or style that stands in the page, by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
