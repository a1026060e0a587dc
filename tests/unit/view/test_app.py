"""The view, asked by a real client over a loopback socket."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for needed in ("starlette", "uvicorn", "httpx"):
    pytest.importorskip(needed, reason="pip install 'retrieval-bench[serve]'")

import httpx  # noqa: E402

from bench.serving.limits import Limits  # noqa: E402
from bench.view.app import STATIC  # noqa: E402
from tests.conftest import Bench  # noqa: E402
from tests.statistics.runs import make_run  # noqa: E402
from tests.unit.view.serving import viewing  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run") / "a", {"knn": 0.5, "mml": 0.8})


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[httpx.Client]:
    with viewing([run], hosts=frozenset({"127.0.0.1"})) as (address, board):
        board.settle()
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as found:
            yield found


def ask(client: httpx.Client, what: str, **fields: Any) -> httpx.Response:
    return client.post(f"/api/{what}", json=fields)


def test_the_page_runs_its_own_files_alone(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:", policy + page.text), "something is loaded from elsewhere"
    named = re.findall(r'(?:src|href)="\./([^"]+)"', page.text)
    assert set(named) == {"view.js", "view.css"}
    for path in STATIC.iterdir():
        found = client.get(f"/{path.name}")
        assert found.status_code == 200
        assert found.headers["x-content-type-options"] == "nosniff"
        if path.suffix == ".js":
            for name in re.findall(r'from ?"(\./[^"]+)"', found.text):
                assert (STATIC / name).is_file()
            assert client.get(f"/{path.name}", headers={"if-none-match": found.headers["etag"]}).status_code == 304
    for path in ("/nothing.js", "/../app.py", "/%2e%2e/app.py", "/static/view.js"):
        assert client.get(path).status_code == 404


def test_bundled_libraries_are_those_that_their_note_names() -> None:
    note = (STATIC / "LIBRARIES.txt").read_text()
    named = dict(re.findall(r"^(\w+\.js) .*\n\s+sha256 (\w{64})$", note, re.MULTILINE))
    assert set(named) == {"preact.js", "hooks.js", "htm.js"}
    for name, digest in named.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest


def test_state_and_leaderboard(client: httpx.Client) -> None:
    state = ask(client, "state").json()
    assert [one["ok"] for one in state["runs"]] == [6]
    assert (state["messages"], state["waiting"], state["reading"]) == ([], 0, False)
    board = ask(client, "leaderboard")
    assert board.headers["cache-control"] == "no-store"
    assert [row["method"] for row in board.json()["rows"]] == ["mml", "knn"]
    row = board.json()["rows"][0]
    group = [row["scenario"], row["dataset"], row["condition"]]
    assert ask(client, "curves", group=group).json()[0]["x"] == "session"
    pair = ask(client, "pair", group=group, a="mml", b="knn", which="disagree", page=1).json()
    assert pair["page"] == 1
    assert pair["total"] == pair["counts"]["disagree"]


def test_what_makes_no_sense_is_refused_in_one_line(client: httpx.Client) -> None:
    group = ["incremental", "made", "{}"]
    for what, fields, status, why in (
        ("state", {"x": 1}, 400, "unknown field"),
        ("curves", {"group": ["a"]}, 400, "'group' must be"),
        ("curves", {"group": [1, 2, 3]}, 400, "'group' must be"),
        ("pair", {"group": group, "a": "knn", "b": "mml"}, 422, "no such scenario"),
        ("pair", {"group": group, "a": "knn", "b": "mml", "which": "none"}, 400, "'which' must be"),
        ("pair", {"group": group, "a": "k" * 5000, "b": "mml"}, 400, "'a' must be a text"),
        ("pair", {"group": group, "a": "knn", "b": "mml", "page": -1}, 400, "whole number"),
        ("answer", {"group": group, "query": "q", "method": "knn"}, 400, "'seed' must be"),
        ("answer", {"group": group, "seed": 0, "query": "q", "method": "m", "relabel": []}, 400, "'relabel'"),
        ("answer", {"group": group, "seed": 0, "query": "q", "method": "m", "exclude": ["x"] * 201}, 413, "at most"),
        ("pictures", {"group": group, "items": ["x"] * 129}, 413, "more than 128"),
        ("removals", {"group": group, "seed": True, "query": "q", "method": "m"}, 400, "'seed'"),
    ):
        found = ask(client, what, **fields)
        assert (found.status_code, why in found.json()["error"]) == (status, True), (what, found.text)
        assert "\n" not in found.json()["error"]
    assert client.post("/api/state", content=b"{}").status_code == 400
    assert client.post("/api/state", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert client.post("/api/state", json={"x": "y" * 2**20}).status_code == 413
    assert client.get("/api/state").status_code == 405


def test_made_up_runs_can_be_looked_at_and_not_asked(client: httpx.Client) -> None:
    row = ask(client, "leaderboard").json()["rows"][0]
    group = [row["scenario"], row["dataset"], row["condition"]]
    found = ask(client, "scene", group=group, seed=0)
    assert found.status_code == 422
    assert "does not describe" in found.json()["error"]


def test_pages_of_other_sites_are_turned_away(client: httpx.Client) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}):
        assert client.post("/api/state", json={}, headers=headers).status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_with_a_token_nothing_of_the_runs_is_said_without_it(run: Path) -> None:
    token = "a token of sixteen"
    with viewing([run], token=token) as (address, _), httpx.Client(base_url=address, trust_env=False) as client:
        assert client.get("/").status_code == 200
        assert ask(client, "state").status_code == 401
        client.headers["authorization"] = f"Bearer {token}"
        assert ask(client, "state").status_code == 200


def test_too_many_questions_are_told_to_wait(run: Path) -> None:
    few = Limits(per_second=0.01, burst=3, images=1)
    with viewing([run], limits=few) as (address, _), httpx.Client(base_url=address, trust_env=False) as client:
        found = [ask(client, "state") for _ in range(5)]
        assert [one.status_code for one in found] == [200] * 3 + [429] * 2
        assert int(found[-1].headers["retry-after"]) >= 1


def test_a_run_deleted_while_it_is_viewed_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "gone", {"knn": 0.5, "mml": 0.8})
    with viewing([tmp_path]) as (address, board), httpx.Client(base_url=address, trust_env=False) as client:
        row = next(iter(board.settle().rows.values()))[0]
        shutil.rmtree(run)
        group = [row["scenario"], row["dataset"], row["condition"]]
        found = ask(client, "pair", group=group, a="mml", b="knn")
        assert found.status_code in (200, 422), "a page that was open a moment ago fails"
        board._next_look = -1.0
        board.settle()
        state = ask(client, "state").json()
        assert state["messages"] == ["the run gone is gone: its folder was removed or renamed"]
        assert ask(client, "leaderboard").json()["rows"] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["{tmp}/none"], "no run in"),
        (["{run}", "--port", "{taken}"], "choose another --port"),
        (["{run}", "--host", "0.0.0.0"], "takes a token"),
        (["{run}", "--port", "70000"], "--port"),
    ],
)
def test_the_command_refuses_in_one_line(
    bench: Bench, run: Path, tmp_path: Path, arguments: list[str], why: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"tmp": tmp_path, "run": run, "taken": taken.getsockname()[1]}
        done: subprocess.CompletedProcess[str] = bench("view", *(one.format(**values) for one in arguments))
    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
