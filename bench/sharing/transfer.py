"""Pushing and pulling: files first and the list last, and nothing in place before every hash was checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from bench.sharing.listing import LARGEST_LIST, LIST, Entry, Listing
from bench.sharing.places import Place, place_at
from bench.utils.atomic import making_folder, require_space
from bench.utils.errors import BenchError

Said = Callable[[str], None]


def push(folder: Path, address: str, *, replace: bool = False, said: Said = lambda name: None) -> Listing:
    """Copy a run, a folder of runs, a pack or a classifier to an address, and return the list of its files.

    A push that was stopped has no list, so nobody pulls half of it; the next one writes all files again. A list that is
    replaced is removed first.

    Parameters
    ----------
    replace : bool
        Write over what was pushed there before. What is there and equal is left as it is either way.
    said : callable
        Told the name of each file before it is written.

    Raises
    ------
    BenchError
        If the folder is none of these, something else was pushed there, or the place cannot be written.
    """
    listing = Listing.of_folder(folder)
    place = place_at(address)
    if place.has(LIST):
        try:
            there = _list_of(place, address)
        except BenchError:
            if not replace:
                raise
        else:
            if there.to_json() == listing.to_json():
                return listing
            if not replace:
                raise BenchError(f"{address} holds another {there.kind} already; push elsewhere, or say --replace")
        place.remove(LIST)
    for name in listing.files:
        said(name)
        place.write(name, folder / name)
    place.write(LIST, listing.to_json().encode())
    return listing


def pull(address: str, out: Path, *, said: Said = lambda name: None) -> Listing:
    """Copy what was pushed to an address into a new folder, and return the list of its files.

    Every file is compared with its hash before the folder is put in place; a pull that fails leaves nothing.

    Raises
    ------
    BenchError
        If the folder is there already, nothing was pushed there, a file is missing or differs, or the disk is full.
    """
    if os.path.lexists(out):
        raise BenchError(f"{out} is there already; pull into a new folder")
    place = place_at(address)
    listing = _list_of(place, address)
    with making_folder(out) as scratch:
        require_space(scratch.parent, listing.size, what=str(out))
        for name, entry in listing.files.items():
            said(name)
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _fetch(place, name, entry, path, address)
    return listing


def _list_of(place: Place, address: str) -> Listing:
    parts, size = [], 0
    for block in place.read(LIST):
        size += len(block)
        if size > LARGEST_LIST:
            raise BenchError(f"the list of {address} is larger than {LARGEST_LIST >> 20} MiB; do not pull it")
        parts.append(block)
    try:
        return Listing.of_json(b"".join(parts).decode("utf-8"), address)
    except UnicodeDecodeError:
        raise BenchError(f"the list of {address} is damaged (no text); push it again with --replace") from None


def _fetch(place: Place, name: str, entry: Entry, path: Path, address: str) -> None:
    found, size = hashlib.sha256(), 0
    with path.open("xb") as stream:
        for block in place.read(name):
            size += len(block)
            if size > entry.size:
                break
            found.update(block)
            stream.write(block)
        stream.flush()
        os.fsync(stream.fileno())
    if size != entry.size or found.hexdigest() != entry.sha256:
        raise BenchError(f"{address}/{name} is not what was pushed (its hash differs); nothing was kept")
