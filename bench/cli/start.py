"""How the command ``bench`` begins: Ctrl-C is one line while its parts are still being imported, too."""

from __future__ import annotations

import sys


def start() -> None:
    """Import the command and run it; leaves with status 130 where it is interrupted before it has begun."""
    try:
        from bench.cli.main import main
    except KeyboardInterrupt:
        print("bench: stopped before it began", file=sys.stderr)
        sys.exit(130)
    main()
