"""Every reader of files from outside: a good input of it, and what reading it gives.

A reader is *sealed* if its files carry a hash or a checksum, so that what is read is what was written or nothing; of
the others any content may be meant, and what is asked is that they end well.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.reader import Reader
from tests.faults.readers_of_data import DATA
from tests.faults.readers_of_results import RESULTS
from tests.faults.readers_of_shared import SHARED

READERS: Mapping[str, Reader] = {**DATA, **RESULTS, **SHARED}
"""By name."""
