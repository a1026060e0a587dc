"""The application behind the page: its files, and what the page asks for."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.reports.page.policy import source
from bench.serving.gate import Gate, Workers, failed, refused
from bench.serving.limits import Bucket, Limits
from bench.serving.requests import names_of, only, parse_object, read_body
from bench.utils.errors import BenchError, one_line
from bench.utils.version import __version__
from bench.view.board import Board
from bench.view.curves import curves_of
from bench.view.leaderboard import Key, Where
from bench.view.pairs import SHOWN, pair_of

if TYPE_CHECKING:
    from bench.view.questions import Questions

Endpoint = Callable[[dict[str, Any]], Awaitable[Any]]

STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".txt": "text/plain"}
_IMPORTS = '{"imports":{"preact":"./preact.js","preact/hooks":"./hooks.js","htm":"./htm.js"}}'
"""Where the page's modules find the library, word for word as in the page."""

POLICY = (
    f"default-src 'none'; script-src 'self' {source(_IMPORTS)}; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page runs its own scripts alone and talks to its own server alone."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LONGEST = 4000
"""Characters of a text in a request."""
_EDITS = 200
"""Items of one intervention."""


class ViewApp:
    """The routes of ``bench view``.

    Parameters
    ----------
    board : Board
    limits : Limits
    ask : callable
        Makes what answers questions about single queries, when the first is asked.
    token : str, optional
        What every request but those for the page's files must bring as ``Authorization: Bearer TOKEN``.
    hosts : collection of str, optional
        As for :class:`bench.serving.gate.Gate`.
    """

    def __init__(
        self,
        board: Board,
        *,
        limits: Limits,
        ask: Callable[[Board], Questions],
        token: str | None = None,
        hosts: frozenset[str] | None = None,
    ) -> None:
        self._board, self._limits, self._gate = board, limits, Gate(token, hosts)
        self._bucket = Bucket(limits.per_second, limits.burst)
        self._make, self._making = ask, threading.Lock()
        self._questions: Questions | None = None
        # What takes long is computed beside what does not, and never before it.
        self._workers = {name: Workers(1, limits.waiting) for name in ("tables", "pictures", "answers", "slow")}
        self._turns: dict[str, int] = {}

    def asgi(self) -> Starlette:
        """Return the application."""
        files = {f"/{path.name}": path for path in sorted(STATIC.iterdir()) if path.suffix in _TYPES}
        routes = [Route("/", self._file(STATIC / "index.html"), methods=["GET"])]
        routes += [Route(name, self._file(path), methods=["GET"]) for name, path in files.items()]
        asked = {
            "/api/state": self._state,
            "/api/leaderboard": self._leaderboard,
            "/api/curves": self._curves,
            "/api/pair": self._pair,
            "/api/scene": self._scene,
            "/api/answer": self._answer,
            "/api/removals": self._removals,
            "/api/pictures": self._pictures,
        }
        routes += [Route(path, self._asked(endpoint), methods=["POST"]) for path, endpoint in asked.items()]
        return Starlette(routes=routes, exception_handlers={HTTPException: refused, Exception: failed})

    def _file(self, path: Path) -> Callable[[Request], Awaitable[Response]]:
        content = path.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

        async def send(request: Request) -> Response:
            self._gate.require_name(request)
            headers = {**_HEADERS, "Cache-Control": "no-cache", "ETag": tag}
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers=headers)
            return Response(content, media_type=_TYPES[path.suffix], headers=headers)

        return send

    def _asked(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._gate.require(request)
                if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                    raise HTTPException(400, "ask by a JSON object; say so by Content-Type: application/json")
                seconds = self._bucket.take(1)
                if seconds:
                    wait = str(math.ceil(seconds))
                    raise HTTPException(429, f"too many; try again in {wait} seconds", headers={"Retry-After": wait})
                found = await endpoint(parse_object(await read_body(request, self._limits)))
                return JSONResponse(found, headers={**_HEADERS, "Cache-Control": "no-store"})
            except HTTPException as error:
                return await refused(request, error)
            except BenchError as error:
                return JSONResponse({"error": one_line(error, longest=600)}, 422)
            except OSError as error:
                # What is looked at can be removed at any moment.
                return JSONResponse({"error": f"a file of the run cannot be read: {error.strerror or 'gone'}"}, 422)

        return answer

    # -- runs --------------------------------------------------------------------------------------------------------

    async def _state(self, asked: dict[str, Any]) -> Any:
        only(asked)
        now = await self._workers["tables"].compute(self._board.look)
        return {
            "version": __version__,
            "number": now.number,
            "reading": self._board.reading or not now.number,
            "waiting": now.waiting,
            "runs": now.runs,
            "messages": now.messages,
            "warnings": list(now.table.warnings) if now.table is not None else [],
            "time": time.time(),
        }

    async def _leaderboard(self, asked: dict[str, Any]) -> Any:
        only(asked)
        if self._questions is None and self._board.now.rows:
            # Who sees results asks about them next, and to import torch takes seconds.
            threading.Thread(target=self._asker, daemon=True).start()
        return await self._workers["tables"].compute(self._board.leaderboard)

    async def _curves(self, asked: dict[str, Any]) -> Any:
        only(asked, "group")
        return await self._workers["tables"].compute(partial(curves_of, self._board, _group(asked)))

    async def _pair(self, asked: dict[str, Any]) -> Any:
        only(asked, "group", "a", "b", "seed", "which", "text", "page")
        which = _text(asked, "which", "all")
        if which not in SHOWN:
            raise HTTPException(400, f"'which' must be one of {', '.join(SHOWN)}")
        work = partial(
            pair_of,
            self._board,
            _group(asked),
            _text(asked, "a"),
            _text(asked, "b"),
            seed=_whole(asked, "seed"),
            which=which,
            text=_text(asked, "text", ""),
            page=_whole(asked, "page") or 0,
        )
        return await self._workers["tables"].compute(work)

    # -- single queries ----------------------------------------------------------------------------------------------

    async def _scene(self, asked: dict[str, Any]) -> Any:
        only(asked, "group", "seed", "session")
        return await self._workers["answers"].compute(lambda: self._asker().scene(self._where(asked)))

    async def _answer(self, asked: dict[str, Any]) -> Any:
        return await self._about(asked, lambda asker: asker.answer)

    async def _removals(self, asked: dict[str, Any]) -> Any:
        return await self._about(asked, lambda asker: asker.removals)

    async def _about(self, asked: dict[str, Any], kind: Callable[[Questions], Callable[..., Any]]) -> Any:
        only(asked, "group", "seed", "session", "query", "method", "exclude", "relabel", "slow", "page", "turn")
        query, method = _text(asked, "query"), _text(asked, "method")
        exclude, relabel = names_of(asked, "exclude"), asked.get("relabel", {})
        if not isinstance(relabel, dict) or not all(isinstance(one, str) for one in relabel.values()):
            raise HTTPException(400, "'relabel' must be an object of item and class")
        if len(exclude) + len(relabel) > _EDITS:
            raise HTTPException(413, f"an intervention has at most {_EDITS} items")
        turn, page = _whole(asked, "turn") or 0, _text(asked, "page", "")[:40]
        if len(self._turns) > 1000:
            self._turns.clear()
        self._turns[page] = max(turn, self._turns.get(page, 0))

        def work() -> Any:
            # A click that came while this one waited makes its answer one that nobody looks at.
            if self._turns.get(page, 0) > turn:
                raise HTTPException(409, "a later question came")
            return kind(self._asker())(self._where(asked), query, method, exclude, relabel)

        return await self._workers["slow" if asked.get("slow") is True else "answers"].compute(work)

    async def _pictures(self, asked: dict[str, Any]) -> Any:
        only(asked, "group", "items")
        names, group = names_of(asked, "items"), _group(asked)
        if len(names) > 2 * self._limits.images:
            raise HTTPException(413, f"{len(names)} items are more than {2 * self._limits.images} in one request")
        return await self._workers["pictures"].compute(lambda: self._asker().pictures(group, names))

    def _asker(self) -> Questions:
        """Return what answers questions; torch and methods are imported for the first of them."""
        with self._making:
            if self._questions is None:
                self._questions = self._make(self._board)
            return self._questions

    def _where(self, asked: dict[str, Any]) -> Where:
        seed = _whole(asked, "seed")
        if seed is None:
            raise HTTPException(400, "'seed' must be a whole number")
        return Where(_group(asked), seed, _whole(asked, "session"))


def _group(asked: dict[str, Any]) -> Key:
    group = names_of(asked, "group")
    if len(group) != 3 or max(map(len, group)) > _LONGEST:
        raise HTTPException(400, "'group' must be scenario, data set and condition")
    return group[0], group[1], group[2]


def _text(asked: dict[str, Any], key: str, default: str | None = None) -> str:
    found = asked.get(key, default)
    if not isinstance(found, str) or len(found) > _LONGEST:
        raise HTTPException(400, f"{key!r} must be a text")
    return found


def _whole(asked: dict[str, Any], key: str) -> int | None:
    found = asked.get(key)
    if found is not None and (type(found) is not int or not 0 <= found < 2**63):
        raise HTTPException(400, f"{key!r} must be a whole number")
    return found
