"""``run.json``: what it says of a run, and which of that is believed. Runs are read from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from bench.results.schema import require_schema
from bench.utils.errors import BenchError, one_line
from bench.utils.json_text import parse_json
from bench.utils.texts import read_text

NAME = "run.json"
"""Name of the file in a run's folder."""

_Count = Annotated[int, Ge(0)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Recipe(_Strict):
    label: str
    name: str = ""
    params: dict[str, Any] = {}


class _Card(_Strict):
    name: str


class _RunJson(_Strict):
    """What every reader of the file relies on; what else it says is passed on as it is."""

    run: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,80}$")]
    schema_: Annotated[int, Ge(0)]
    cells: _Count | None = None
    cells_of_all_shards: _Count | None = None
    shard: Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,8}/[1-9]\d{0,8}$")] | None = None
    methods: list[_Recipe] = []
    scenarios: list[_Recipe] = []
    datasets: list[_Card] = []
    class_names: dict[str, list[str]] | None = None
    seeds: list[_Count] = []
    loaded: list[str] = []
    created: str = ""
    device: str = ""
    precision: str = "fp32"
    search: str = "exact"
    code: str | None = None
    experiment: str | None = None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` says; a damaged one or one of another schema raises :class:`BenchError`."""
    path = folder / NAME
    advice = "delete the folder and run again"
    text = read_text(path, "the folder of a run")
    try:
        content = parse_json(text)
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
        schema = content.get("schema")
        if type(schema) is int:
            require_schema(schema, folder)
        named = {"schema_" if key == "schema" else key: value for key, value in content.items()}
        _RunJson.model_validate(named)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])).replace("schema_", "schema")[:80]
        raise BenchError(f"{path} is damaged ({where}: {first['msg'].lower()}); {advice}") from None
    except (ValueError, MemoryError) as error:
        raise BenchError(f"{path} is damaged ({one_line(error)}); {advice}") from None
    return content
