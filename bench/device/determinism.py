"""Kernels that answer alike from run to run on a GPU; on the CPU they do anyway."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.utils.errors import BenchError

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_REPEATABLE = (":4096:8", ":16:8")
"""Workspaces with which cuBLAS chooses the same algorithm each time (CUDA's documentation of cuBLAS, "Results
reproducibility")."""


def ready_cublas() -> None:
    """Give cuBLAS a workspace that makes it repeatable, unless the user gave it one; to be called before it is used.

    Raises
    ------
    BenchError
        If the user gave it one that does not.
    """
    given = os.environ.setdefault(_WORKSPACE, _REPEATABLE[0])
    if given not in _REPEATABLE:
        raise BenchError(
            f"{_WORKSPACE}={given} lets cuBLAS answer differently from run to run; unset it, or set it to "
            f"{_REPEATABLE[0]}"
        )


@contextmanager
def deterministic(device: str | torch.device, *, strict: bool = True) -> Iterator[None]:
    """Ask for deterministic kernels inside the block.

    Parameters
    ----------
    strict : bool
        Whether an operation that has no deterministic kernel raises RuntimeError, for which :func:`is_lack` is true;
        else it runs and torch warns.
    """
    if torch.device(device).type == "cpu":
        # Merely to set the flag to what it is imports torch's compiler, which takes a second or more.
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def is_lack(error: BaseException) -> bool:
    """Return whether an error says that an operation has no deterministic kernel."""
    return isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error)
