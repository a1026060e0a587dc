"""A user's arrays: files of them, and the splits that their names tell."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.utils.errors import BenchError, one_line
from bench.utils.names import expand, shown
from bench.utils.texts import require_regular

_PAIRS = (("_x", "_y"), ("_features", "_labels"), ("x", "y"), ("features", "labels"))
"""How the arrays of one split are named: ``test_x`` and ``test_y``, or ``x`` and ``y`` for a file of one split."""
_BARE = {"x", "y", "features", "labels"}
_ENDINGS = (".npz", ".npy", ".safetensors")

_LARGE = 1 << 30
_MOST_SQUEEZED = 50
"""An archive of a gibibyte and more that unpacks to more than so many times its size holds no features."""


def read_arrays(paths: Sequence[Path], *, by_file: bool = False) -> dict[str, np.ndarray]:
    """Return the arrays of ``.npz``, ``.npy`` and ``.safetensors`` files by name; a folder stands for its files.

    An ``.npy`` file is named by its stem. Pickled arrays are refused.

    Parameters
    ----------
    by_file : bool
        Where several archives are given, ``x`` and ``y`` of ``train.npz`` become ``train_x`` and ``train_y``.

    Raises
    ------
    BenchError
        For a file that cannot be read, is of another kind, or unpacks to far more than it is, and for two files with an
        array of the same name.
    """
    arrays: dict[str, np.ndarray] = {}
    origin: dict[str, Path] = {}
    files = _files([expand(path) for path in paths])
    several = by_file and sum(path.suffix.lower() != ".npy" for path in files) > 1
    for path in files:
        for key, array in _read(path).items():
            bare = several and path.suffix.lower() != ".npy" and key.casefold() in _BARE
            name = f"{path.stem}_{key}" if bare else key
            if name in arrays:
                raise BenchError(
                    f"array {shown(name)} is in {origin[name]} and in {path}; give one of them, or rename the file or "
                    "the array"
                )
            arrays[name], origin[name] = array, path
    return arrays


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in _ENDINGS and not p.name.startswith("."))
        elif path.exists():
            found.append(path)
        else:
            raise BenchError(f"{path} does not exist; give the path of an .npz, .npy or .safetensors file")
    return found


def _read(path: Path) -> dict[str, np.ndarray]:
    kind = path.suffix.lower()
    if kind not in _ENDINGS:
        raise BenchError(f"{path} is neither .npz, .npy nor .safetensors; convert it first")
    try:
        require_regular(path)
        if kind == ".npz":
            _check_archive(path)
            with np.load(path, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        if kind == ".npy":
            # Mapped copy-on-write: nothing is read before it is needed, and nothing written back.
            return {path.stem: np.load(path, allow_pickle=False, mmap_mode="c")}
        from safetensors.torch import load_file

        return {key: _numpy(tensor) for key, tensor in load_file(path).items()}
    except BenchError:
        raise
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror or one_line(error)}") from None
    except MemoryError:
        raise BenchError(f"{path} cannot be read: its arrays take more memory than there is") from None
    except Exception as error:  # the readers raise many kinds for a damaged file
        if "allow_pickle" in str(error):
            raise BenchError(
                f"{path} cannot be read: it is no array, or one of objects; save numbers or text"
            ) from None
        raise BenchError(f"{path} cannot be read: {one_line(error)}") from None


def _check_archive(path: Path) -> None:
    """Raise for an archive with two members of one name, and for one that unpacks to far more than it is."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise BenchError(f"{path} cannot be read: it holds two arrays of one name; save it again")
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if size > _LARGE and size > _MOST_SQUEEZED * packed:
        raise BenchError(f"{path} cannot be read: {packed} bytes unpack to {size}; save it with numpy.savez")


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def find_splits(arrays: Mapping[str, np.ndarray], single: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return features [n, d] and labels [n] by split name; ``single`` names the split of a file that holds only one.

    Names count in any case: ``Test_X`` and ``Test_y`` are the split ``Test``.

    Raises
    ------
    BenchError
        For features without labels, and arrays whose shapes or types are none of features and labels.
    """
    by_name = {name.casefold(): name for name in arrays}
    if len(by_name) < len(arrays):
        twins = sorted(name for name in arrays if by_name[name.casefold()] != name)
        raise BenchError(f"array {shown(twins[0])} and another differ only in case; rename one")
    splits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for x_name, y_name in _PAIRS:
        for key, x in arrays.items():
            folded = key.casefold()
            if not (folded == x_name or (x_name.startswith("_") and folded.endswith(x_name))):
                continue
            stem = key[: len(key) - len(x_name)]
            found = by_name.get(f"{stem}{y_name}".casefold())
            if found is None:
                raise BenchError(f"array {shown(key)} has no labels; add {shown(stem + y_name)}")
            split = stem or single
            if split in splits:
                raise BenchError(f"split {shown(split)} is there twice; give x and y, or features and labels")
            splits[split] = check_pair(x, arrays[found], f"split {shown(split)}")
    if not splits:
        known = ", ".join(shown(name) for name in list(arrays)[:8]) or "(none)"
        raise BenchError(f"no split found in arrays {known}; name them test_x and test_y, or x and y")
    return splits


def check_pair(x: np.ndarray, labels: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels; what is not of shape [n, d] and [n], or of another type, is refused."""
    if x.ndim != 2 or labels.ndim != 1 or len(x) != len(labels) or not x.shape[1]:
        raise BenchError(
            f"{what}: features of shape {x.shape} and labels of shape {labels.shape} do not fit; they must be [n, d] "
            "and [n]"
        )
    check_numbers(x, what)
    if not np.issubdtype(labels.dtype, np.integer):
        raise BenchError(f"{what}: labels of type {labels.dtype} are not whole numbers; save them as int64")
    if labels.dtype.kind == "u" and labels.size and labels.max() > np.iinfo(np.int64).max:
        raise BenchError(f"{what}: label {labels.max()} is larger than any class; save labels as int64")
    return x, labels


def check_numbers(x: np.ndarray, what: str) -> None:
    """Raise for features that are no real numbers: complex ones would lose their imaginary part unseen."""
    if x.dtype.kind not in "fiu":
        raise BenchError(f"{what}: features of type {x.dtype} are not real numbers; save them as float32")


def text_column(values: np.ndarray, what: str) -> np.ndarray:
    """Return texts that are stored as str or as UTF-8 bytes, str [n].

    Raises
    ------
    BenchError
        For bytes in another encoding, and arrays of something else or of other than one dimension.
    """
    if values.ndim != 1:
        raise BenchError(f"{what} have shape {values.shape}; they must be [n]")
    if values.dtype.kind == "S":
        try:
            return np.char.decode(values, "utf-8")
        except UnicodeDecodeError:
            raise BenchError(f"{what} are bytes that are not UTF-8; save them as text") from None
    if values.dtype.kind not in "U" and values.size:
        raise BenchError(f"{what} have type {values.dtype}; they must be text")
    return values.astype("U")
