"""``python -m bench`` is ``bench``."""

from bench.cli.start import start

start()
