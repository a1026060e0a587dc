"""What a request holds, read within limits."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from bench.serving.limits import Limits
from bench.utils.errors import one_line
from bench.utils.json_text import parse_json


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a request; one that is too large or too slow ends with status 413 or 408."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > limits.request_bytes:
        raise HTTPException(413, f"the request has more than {limits.request_bytes} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                size += len(part)
                if size > limits.request_bytes:
                    raise HTTPException(413, f"the request has more than {limits.request_bytes} bytes")
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"the request took longer than {limits.seconds:g} seconds to arrive") from None
    return b"".join(parts)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; anything else ends with status 400."""
    try:
        found = parse_json(body.decode("utf-8"))
    except ValueError as error:
        raise HTTPException(400, f"the body is no JSON: {one_line(error)}") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return found


def only(fields: Mapping[str, Any], *known: str) -> None:
    """End with status 400 if an object has a field that is not known."""
    for name in fields:
        if name not in known:
            raise HTTPException(400, f"unknown field {str(name)[:60]!r}; known: {', '.join(known)}")


def images_of(fields: Mapping[str, Any], limits: Limits) -> list[bytes] | None:
    """Return the images of an object, base64; None if it has none."""
    if "images" not in fields:
        return None
    found = _list(fields, "images", limits)
    try:
        return [base64.b64decode(one, validate=True) for one in found]
    except (binascii.Error, TypeError, ValueError):
        raise HTTPException(400, "an image is no base64") from None


def features_of(fields: Mapping[str, Any], limits: Limits) -> list[Any] | None:
    """Return the rows of features of an object; None if it has none."""
    return _list(fields, "features", limits) if "features" in fields else None


def names_of(fields: Mapping[str, Any], key: str) -> list[str]:
    """Return a list of texts of an object, empty if it is not there."""
    found = fields.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise HTTPException(400, f"{key!r} must be a list of texts")
    return found


def _list(fields: Mapping[str, Any], key: str, limits: Limits) -> list[Any]:
    found = fields[key]
    if not isinstance(found, list) or not found:
        raise HTTPException(400, f"{key!r} must be a list with something in it")
    if len(found) > limits.images:
        raise HTTPException(413, f"{len(found)} {key} are more than {limits.images} in one request")
    return found
