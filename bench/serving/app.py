"""The application: routes, who may ask, and what is answered."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bench.classifier import Classifier
from bench.classifier.answers import SHOWN
from bench.serving.gate import Gate, Workers, failed, refused
from bench.serving.limits import Bucket, Limits
from bench.serving.metrics import Metrics
from bench.serving.openapi import openapi
from bench.serving.requests import features_of, images_of, names_of, only, parse_object, read_body
from bench.serving.service import Service
from bench.utils.errors import BenchError, one_line

Endpoint = Callable[[Request], Awaitable[Response]]

_THREADS = 2
"""Requests that are computed at a time; torch uses several processors for each."""


class App:
    """The routes of a server.

    Parameters
    ----------
    service : Service
    limits : Limits
    token : str, optional
        What a request must bring as ``Authorization: Bearer TOKEN``, but for ``/health``.
    edits : bool
        Whether items may be added and removed.
    hosts : collection of str, optional
        Names under which the server may be asked; a request for another one may come from a page that had its name lead
        here. None takes all, for a server with a token.
    """

    def __init__(
        self,
        service: Service,
        *,
        limits: Limits,
        token: str | None = None,
        edits: bool = False,
        hosts: frozenset[str] | None = None,
    ) -> None:
        self.service, self.limits, self.metrics = service, limits, Metrics()
        self._gate, self._edits = Gate(token, hosts), edits
        self._bucket = Bucket(limits.per_second, limits.burst)
        self._workers = Workers(_THREADS, limits.waiting)

    def asgi(self) -> Starlette:
        """Return the application."""
        routes = [
            self._route("/v1/predict", self._predict, "POST"),
            self._route("/v1/classifier", self._about, "GET"),
            self._route("/health", self._health, "GET"),
            self._route("/metrics", self._metrics, "GET"),
            self._route("/openapi.json", self._openapi, "GET"),
        ]
        if self._edits:
            routes += [self._route("/v1/items", self._add, "POST"), self._route("/v1/items", self._remove, "DELETE")]
        return Starlette(routes=routes, exception_handlers={HTTPException: refused, Exception: failed})

    def _route(self, path: str, endpoint: Endpoint, method: str) -> Route:
        async def counted(request: Request) -> Response:
            start = time.perf_counter()
            try:
                if path != "/health":
                    self._gate.require(request)
                answer = await endpoint(request)
            except HTTPException as error:
                answer = await refused(request, error)
            except BenchError as error:
                answer = JSONResponse({"error": one_line(error, longest=400)}, 422)
            self.metrics.request(path, answer.status_code, time.perf_counter() - start)
            return answer

        return Route(path, counted, methods=[method])

    # -- answers ---------------------------------------------------------------------------------------------------

    async def _predict(self, request: Request) -> Response:
        body = await read_body(request, self.limits)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        fields: dict[str, Any] = {}
        images: list[bytes] | None
        if kind == "application/json":
            fields = parse_object(body)
            only(fields, "images", "features", "neighbours", "none_below")
            images, features = images_of(fields, self.limits), features_of(fields, self.limits)
        else:
            # What it is shows in its bytes, whatever it is said to be.
            images, features = [body], None
        if (images is None) == (features is None):
            raise HTTPException(400, "give either images or features")
        shown, below = _shown(fields), _below(fields)
        count = len(images if images is not None else features or [])
        self._take(count)
        found = await self._workers.compute(partial(self._answer, images, features, shown, below))
        self.metrics.answered(count)
        return JSONResponse({"answers": [one.plain() for one in found]})

    def _answer(self, images: list[bytes] | None, features: list[Any] | None, shown: int, below: float | None) -> Any:
        if images is None:
            return self.service.answer(features=features, neighbours=shown, below=below)
        return self.service.answer(images=[self.service.image(one) for one in images], neighbours=shown, below=below)

    def _take(self, count: int) -> None:
        seconds = self._bucket.take(count)
        if seconds:
            wait = str(math.ceil(seconds))
            raise HTTPException(429, f"too many; try again in {wait} seconds", headers={"Retry-After": wait})

    # -- edits -----------------------------------------------------------------------------------------------------

    async def _add(self, request: Request) -> Response:
        fields = await self._object(request)
        only(fields, "images", "features", "labels", "ids", "source")
        images, features = images_of(fields, self.limits), features_of(fields, self.limits)
        if (images is None) == (features is None):
            raise HTTPException(400, "give either images or features")
        labels, ids, source = names_of(fields, "labels"), names_of(fields, "ids") or None, fields.get("source")
        if source is not None and not isinstance(source, str):
            raise HTTPException(400, "'source' must be a text")

        def change(made: Classifier) -> None:
            given = features if images is None else [self.service.image(one) for one in images]
            made.add(given, labels, ids=ids, source=source)

        return await self._edited(change)

    async def _remove(self, request: Request) -> Response:
        fields = await self._object(request)
        only(fields, "ids", "classes", "sources", "forget")
        several = [names_of(fields, key) for key in ("ids", "classes", "sources")]

        def change(made: Classifier) -> None:
            remove = made.forget if fields.get("forget") is True else made.remove
            remove(several[0], classes=several[1], sources=several[2])

        return await self._edited(change)

    async def _object(self, request: Request) -> dict[str, Any]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(400, "an edit is a JSON object; say so by Content-Type: application/json")
        return parse_object(await read_body(request, self.limits))

    async def _edited(self, change: Callable[[Classifier], None]) -> Response:
        made = await self._workers.compute(partial(self.service.edit, change))
        self.metrics.edited()
        return JSONResponse(_described(made))

    # -- about -----------------------------------------------------------------------------------------------------

    async def _about(self, request: Request) -> Response:
        return JSONResponse(_described(self.service.classifier))

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _metrics(self, request: Request) -> Response:
        return PlainTextResponse(
            self.metrics.text(_items(self.service.classifier)), media_type="text/plain; version=0.0.4"
        )

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(openapi(self.limits, token=self._gate.token is not None, edits=self._edits))


def _items(made: Classifier) -> int:
    return int(made.log_[-1]["left"] if made.log_ else made.measured_["fitted_to"])


def _described(made: Classifier) -> dict[str, Any]:
    return {
        "method": made.label_,
        "classes": made.classes_.tolist(),
        "dimension": made.n_features_in_,
        "takes_images": made.measured_["images"],
        "items": _items(made),
        "none_below": made.reject_,
        "edits": len(made.log_),
    }


def _shown(fields: dict[str, Any]) -> int:
    found = fields.get("neighbours", SHOWN)
    if type(found) is not int or not 0 <= found <= 1000:
        raise HTTPException(400, "'neighbours' must be a whole number from 0 to 1000")
    return found


def _below(fields: dict[str, Any]) -> float | None:
    found = fields.get("none_below")
    if found is not None and (isinstance(found, bool) or not isinstance(found, (int, float))):
        raise HTTPException(400, "'none_below' must be a number")
    return found
