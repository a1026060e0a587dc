"""What settings can be chosen on."""

from __future__ import annotations

from typing import Literal

SelectOn = Literal["support", "validation-split", "validation-classes"]
"""What configurations are compared on: images held out of the support, the data set's validation split of the classes
that are asked about, or the validation classes of the scenario with their own memory."""
