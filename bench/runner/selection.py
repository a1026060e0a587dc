"""What settings can be chosen on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.core.dataset import Dataset

SelectOn = Literal["support", "validation-split", "validation-classes"]
"""What configurations are compared on: images held out of the support, the data set's validation split of the classes
that are asked about, or the validation classes of the scenario with their own memory."""


def lacking(wanted: SelectOn, dataset: Dataset) -> str:
    """Return why a data set cannot give what settings are to be chosen on; empty where it can.

    Images held out of the support choose there instead.
    """
    if wanted == "validation-split" and not len(dataset.role("validation")):
        return f"data set {dataset.name} has no validation split"
    return ""
