"""Pushing to a file system and pulling from it and from a web server, with every hash checked."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.cli.main import main
from bench.reports.report import build
from bench.sharing.listing import LIST, Listing
from bench.sharing.transfer import pull, push
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run

pytest.importorskip("fsspec", reason="pip install 'retrieval-bench[share]'")


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("a") / "run", {"knn": 0.5}, sessions=1, run="one")


@pytest.fixture
def pushed(run: Path, tmp_path: Path) -> Path:
    push(run, str(tmp_path / "store"))
    return tmp_path / "store"


@contextmanager
def web(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_pulled_is_what_was_pushed(run: Path, pushed: Path, tmp_path: Path) -> None:
    made = pull(str(pushed), tmp_path / "here")
    assert made.kind == "run"
    assert files(tmp_path / "here") == files(run)
    assert set(files(pushed)) == {*files(run), LIST}


def test_it_is_pulled_from_a_web_server(run: Path, pushed: Path, tmp_path: Path) -> None:
    with web(pushed) as address:
        pull(address, tmp_path / "here")
        assert files(tmp_path / "here") == files(run)
        with pytest.raises(BenchError, match="status 404"):
            pull(f"{address}/nowhere", tmp_path / "other")
        with pytest.raises(BenchError, match="nothing can be pushed to one"):
            push(run, address)
    with pytest.raises(BenchError, match="cannot be read"):
        pull(address, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_store_of_fsspec_serves_as_well(run: Path, tmp_path: Path) -> None:
    push(run, "memory://results/one")
    pull("memory://results/one", tmp_path / "here")
    assert files(tmp_path / "here") == files(run)


@pytest.mark.parametrize("change", ["other", "longer", "shorter", "gone"])
def test_a_file_that_was_changed_is_noticed_and_nothing_is_left(pushed: Path, tmp_path: Path, change: str) -> None:
    (victim, *_) = sorted(pushed.rglob("*.parquet"))
    data = victim.read_bytes()
    if change == "gone":
        victim.unlink()
    else:
        changed = {"other": bytes([data[0] ^ 1]) + data[1:], "longer": data + b"x", "shorter": data[:-1]}
        victim.write_bytes(changed[change])
    with pytest.raises(BenchError, match="cannot be read" if change == "gone" else "is not what was pushed"):
        pull(str(pushed), tmp_path / "here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


@pytest.mark.parametrize(
    "name", ["../out", "/etc/x", "a/../../b", "a\\b", "C:/x", ".hidden", "a//b", "a/./b", "", "nul\x00l", "x\n"]
)
def test_a_list_that_names_other_places_is_refused(pushed: Path, tmp_path: Path, name: str) -> None:
    content = json.loads((pushed / LIST).read_text())
    content["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    (pushed / LIST).write_text(json.dumps(content))
    with pytest.raises(BenchError, match="which no folder may hold"):
        pull(str(pushed), tmp_path / "here")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"format": 9, "kind": "run", "files": {}}', "newer version"),
        ('{"format": 1, "kind": "run", "files": {}}', "nothing that can be pulled"),
        ('{"format": 1, "kind": "program", "files": {"a": {"sha256": "%s", "bytes": 1}}}' % ("0" * 64), "nothing that"),
        ('{"format": 1, "kind": "run", "files": {"a": {"sha256": "xx", "bytes": 1}}}', "damaged"),
        ('{"format": 1, "kind": "run", "files": {"a": {"sha256": "%s", "bytes": -1}}}' % ("0" * 64), "damaged"),
    ],
)
def test_a_list_that_is_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(BenchError, match=why):
        Listing.of_json(text, "somewhere")


def test_another_run_is_not_written_over_unasked(run: Path, pushed: Path, tmp_path: Path) -> None:
    push(run, str(pushed))
    other = make_run(tmp_path / "other", {"slda": 0.9}, sessions=1, run="two")
    with pytest.raises(BenchError, match="holds another run already; push elsewhere, or say --replace"):
        push(other, str(pushed))
    push(other, str(pushed), replace=True)
    pull(str(pushed), tmp_path / "here")
    assert files(tmp_path / "here") == files(other)


def test_a_push_that_was_stopped_cannot_be_pulled(run: Path, tmp_path: Path) -> None:
    def stop(name: str) -> None:
        if name == "run.json":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(run, str(tmp_path / "store"), said=stop)
    with pytest.raises(BenchError, match="cannot be read"):
        pull(str(tmp_path / "store"), tmp_path / "here")


def test_runs_of_several_groups_make_one_report(run: Path, pushed: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", {"slda": 0.9}, sessions=1, run="two")
    push(other, str(tmp_path / "theirs"))
    pull(str(pushed), tmp_path / "all" / "ours")
    pull(str(tmp_path / "theirs"), tmp_path / "all" / "theirs")
    said = build([tmp_path / "all"], tmp_path / "report")
    assert "knn" in said
    assert "slda" in said


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="bench")


def test_the_commands_say_what_they_did_or_why_not(run: Path, tmp_path: Path) -> None:
    done = bench("push", run, tmp_path / "store")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'store'}: run, " in done.output
    (tmp_path / "empty").mkdir()
    assert "next: bench report" in bench("pull", tmp_path / "store", tmp_path / "here").output
    for words, why in (
        (("pull", tmp_path / "store", tmp_path / "here"), "is there already"),
        (("push", tmp_path / "empty", tmp_path / "x"), "is no run, folder of runs, pack or classifier"),
        (("push", tmp_path / "gone", tmp_path / "x"), "is no folder"),
        (("pull", "nothing-knows-this://x", tmp_path / "y"), "cannot be opened"),
        (("pull", "https://user:secret@127.0.0.1/x", tmp_path / "y"), "an address"),
    ):
        done = bench(*words)
        assert done.exit_code == 2, done.output
        assert why in done.output.replace(str(tmp_path / "store"), ""), done.output
        assert "secret" not in done.output


class _Hub(BaseHTTPRequestHandler):
    """What the Hugging Face Hub answers about one data set's files, which lie in the folder ``root``."""

    root: Path

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        there = {p.relative_to(self.root).as_posix(): p for p in sorted(self.root.rglob("*")) if p.is_file()}
        content: bytes | None = None
        if path.startswith("/api/datasets/a/b/tree/"):
            entries = [
                {"type": "file", "path": name, "size": p.stat().st_size, "oid": "0" * 40} for name, p in there.items()
            ]
            content = json.dumps(entries).encode()
        elif path == "/api/datasets/a/b":
            siblings = [{"rfilename": name} for name in there]
            content = json.dumps({"id": "a/b", "sha": "a" * 40, "siblings": siblings, "private": False}).encode()
        elif path.startswith("/datasets/a/b/resolve/main/"):
            name = path.removeprefix("/datasets/a/b/resolve/main/")
            content = there[name].read_bytes() if name in there else None
        self.send_response(404 if content is None else 200)
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content or b"")


def test_it_is_pulled_from_the_hub(run: Path, pushed: Path, tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (_Hub,), {"root": pushed}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        # The address of the Hub is read when its client is imported.
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hub")}
        program = (
            "import sys, pathlib; from bench.sharing.transfer import pull; "
            "pull('hf://datasets/a/b', pathlib.Path(sys.argv[1]))"
        )
        for changed in (False, True):
            target = tmp_path / f"here-{changed}"
            done = subprocess.run(
                [sys.executable, "-c", program, str(target)], env={**os.environ, **settings}, capture_output=True
            )
            assert (done.returncode == 0) != changed, done.stderr.decode()
            if not changed:
                assert files(target) == files(run)
            else:
                assert b"BenchError" in done.stderr
                assert not target.exists()
            (pushed / "run.json").write_text("{}")
    finally:
        server.shutdown()
        server.server_close()
