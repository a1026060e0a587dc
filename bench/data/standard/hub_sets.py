"""Data sets of the Hugging Face hub: their Parquet files, as its list names them and with its hashes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import huggingface_hub
import huggingface_hub.constants as hub
import requests
from huggingface_hub.errors import HfHubHTTPError

from bench.data.declaration import Declaration, Download
from bench.data.images.items import ImageSource
from bench.data.images.open import open_source
from bench.data.splits import is_split
from bench.encoders.hub import answers
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.names import expand
from bench.utils.texts import read_text

PREFIX = "hf:"
_RECORD = "hub.json"
_CONVERTED = "refs/convert/parquet"
"""The branch in which the hub keeps its own conversion of a data set to Parquet."""
_NAME = re.compile(r"hf:(?P<owner>[\w][\w.-]*)/(?P<name>[\w][\w.-]*)(?::(?P<config>[\w][\w.-]*))?")


@dataclass(frozen=True)
class HubName:
    """The name of a data set of the hub, ``hf:OWNER/NAME`` or ``hf:OWNER/NAME:CONFIGURATION``."""

    owner: str
    name: str
    config: str | None

    @staticmethod
    def of(text: str) -> HubName:
        """Return the parts of a name; raise :class:`BenchError` if it is none."""
        found = _NAME.fullmatch(text)
        if found is None:
            raise BenchError(f"{text!r} is no data set of the hub; write hf:OWNER/NAME, or hf:OWNER/NAME:CONFIGURATION")
        return HubName(**found.groupdict())

    @property
    def repository(self) -> str:
        """What the hub calls it."""
        return f"{self.owner}/{self.name}"

    @property
    def folder(self) -> str:
        """The folder that its files are kept in."""
        return "--".join(filter(None, (self.owner, self.name, self.config)))

    def __str__(self) -> str:
        return PREFIX + self.repository + (f":{self.config}" if self.config else "")


def declared_by_hub(name: HubName) -> Declaration:
    """Return what the hub says of a data set, with its Parquet files as what may be fetched.

    They are the data set's own or, where it has none, those of the branch that the hub converts it to.

    Raises
    ------
    BenchError
        If the hub does not answer or has no such data set, it is not open to everybody, has no Parquet file, or has
        several configurations and none is named.
    """
    if not answers():
        raise BenchError(f"{hub.ENDPOINT} does not answer; put the Parquet files of {name} into a folder and name that")
    info = _info(name, None)
    if info.gated or info.private:
        raise BenchError(
            f"{name} is given to those who ask for it alone; get its files with the hub's own client, put them into a "
            "folder, and name that"
        )
    files = _files(name, info)
    if not files:
        info = _info(name, _CONVERTED)
        files = _files(name, info)
    if not files:
        raise BenchError(f"{name} has no Parquet files at the hub; get its files, and name their folder")
    base = f"{hub.ENDPOINT}/datasets/{name.repository}"
    downloads = [
        Download(
            url=f"{base}/resolve/{info.sha}/{quote(sibling.rfilename)}",
            algorithm="sha256" if sibling.lfs else "git",
            digest=str(sibling.lfs.sha256 if sibling.lfs else sibling.blob_id),
            into=str(PurePosixPath(name.folder, place).parent),
            makes=place.name,
        )
        for place, sibling in files.items()
    ]
    licence = getattr(info.card_data, "license", None) or "not stated"
    return Declaration(
        name=str(name),
        title=f"{name.repository} of the Hugging Face hub",
        revision=f"{name.repository}@{info.sha}",
        licence=", ".join(licence) if isinstance(licence, list) else str(licence),
        citation="",
        home=base,
        folder=name.folder,
        reader={},
        requires={},
        templates=(),
        classes=0,
        downloads=tuple(downloads),
    )


def record(declaration: Declaration, root: Path) -> None:
    """Write beside fetched files what the hub said of them."""
    said = {"name": declaration.name, "revision": declaration.revision, "licence": declaration.licence}
    write_atomically(expand(root) / declaration.folder / _RECORD, json.dumps(said, indent=2) + "\n")


@dataclass(frozen=True, eq=False)
class HubImages:
    """The images of a data set of the hub, and its revision and licence."""

    source: ImageSource
    revision: str
    licence: str


def hub_images(name: HubName, root: Path) -> HubImages:
    """Return the images of a data set that was fetched below a folder.

    Raises
    ------
    BenchError
        If it was not fetched, or not to its end.
    """
    folder = expand(root) / name.folder
    said = folder / _RECORD
    if not said.is_file():
        raise BenchError(f"{root} has no whole {name}; `bench data prepare {name} --root {root} --download` fetches it")
    try:
        content = parse_json(read_text(said, "what the hub says of a data set"))
        return HubImages(open_source(folder), str(content["revision"]), str(content["licence"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{said} is damaged ({one_line(error)}); remove it and fetch the data set again") from None


def _info(name: HubName, revision: str | None) -> Any:
    try:
        return huggingface_hub.HfApi(endpoint=hub.ENDPOINT, token=False).dataset_info(
            name.repository, revision=revision, files_metadata=True, timeout=10
        )
    except (HfHubHTTPError, requests.RequestException, OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"the hub gives no data set {name.repository} ({one_line(error, longest=120)})") from None


def _files(name: HubName, info: Any) -> dict[PurePosixPath, Any]:
    """Return the Parquet files of one configuration by where they are kept: without its folder."""
    by_config: dict[str | None, dict[PurePosixPath, Any]] = {}
    for sibling in info.siblings or ():
        path = PurePosixPath(sibling.rfilename)
        if path.suffix != ".parquet":
            continue
        if path.is_absolute() or ".." in path.parts:
            raise BenchError(f"the hub lists {sibling.rfilename!r} in {name}, which leads out; name another data set")
        own = len(path.parts) > 1 and path.parts[0] != "data" and not is_split(path.parts[0])
        config = path.parts[0] if own else None
        by_config.setdefault(config, {})[PurePosixPath(*path.parts[1:]) if own else path] = sibling
    if name.config is not None:
        if by_config and name.config not in by_config:
            known = ", ".join(sorted(filter(None, by_config)))
            raise BenchError(f"{name} has no configuration {name.config!r}; it has {known or 'no named one'}")
        return by_config.get(name.config, {})
    if len(by_config) > 1:
        named = sorted(filter(None, by_config))
        raise BenchError(f"{name} has several configurations ({', '.join(named)}); write {name}:{named[0]}")
    return next(iter(by_config.values()), {})
