"""Files of tensors, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.utils.atomic import replacing, require_space
from bench.utils.errors import BenchError, one_line

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None, what: str | None = None
) -> None:
    """Write tensors as one safetensors file, as :func:`bench.utils.atomic.replacing` does.

    Parameters
    ----------
    what : str
        What is written, for the message that there is no space for it; the path if it is left out.

    Raises
    ------
    BenchError
        If it takes more than what is left of the disk (then nothing is written), or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
    require_space(path.parent, sum(tensor.nbytes for tensor in stored.values()), what=what or str(path))
    try:
        with replacing(path) as temporary:
            save_file(stored, temporary, metadata=None if metadata is None else dict(metadata))
    except SafetensorError as error:  # its writer wraps what the system said
        raise BenchError(f"cannot write {path}: {one_line(error)}; free some space or choose another folder") from None
