"""Lists, folders and servers of strangers, and what a killed pull or push leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.sharing import places
from bench.sharing.listing import LIST
from bench.sharing.transfer import pull, push
from bench.utils import web_session as session
from bench.utils.errors import BenchError
from bench.utils.web_session import Limits
from tests.statistics.runs import make_run
from tests.unit.data.test_hostile_web import BOMB, OK, Act, Hostile, body, drips, floods, moved, resets, says, silent

pytest.importorskip("fsspec", reason="pip install 'retrieval-bench[share]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("a") / "run", {"knn": 0.5}, sessions=1, run="one")


@pytest.fixture
def store(run: Path, tmp_path: Path) -> Path:
    push(run, str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.mark.parametrize(
    "entry",
    [{"bytes": 10**400}, {"bytes": 2**63}, {"bytes": True}, {"bytes": 1.0}, {"sha256": "A" * 64}, {"sha256": None}],
)
def test_sizes_and_hashes_that_are_none(store: Path, tmp_path: Path, entry: dict[str, object]) -> None:
    content = json.loads((store / LIST).read_text())
    content["files"]["run.json"] |= entry
    (store / LIST).write_text(json.dumps(content))
    with pytest.raises(BenchError, match="damaged"):
        pull(str(store), tmp_path / "here")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("name", ["run.json/x", "run.json/x/y", f"{'a/' * 2100}b"])
def test_names_that_cannot_be_beside_others(store: Path, tmp_path: Path, name: str) -> None:
    content = json.loads((store / LIST).read_text())
    content["files"][name] = {"sha256": "0" * 64, "bytes": 0}
    (store / LIST).write_text(json.dumps(content))
    with pytest.raises(BenchError) as caught:
        pull(str(store), tmp_path / "here")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("kind", ["link to a folder", "link out", "link to nothing", "pipe", "no text", "two lines"])
def test_what_nobody_could_pull_is_not_pushed(run: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    (tmp_path / "elsewhere").mkdir()
    if kind == "link to a folder":
        (folder / "predictions").rename(folder / "far")
        (folder / "predictions").symlink_to("far")
    elif kind == "link out":
        (folder / "a").symlink_to(tmp_path / "elsewhere")
    elif kind == "link to nothing":
        (folder / "a").symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(folder / "a")
    else:
        (folder / {"no text": "caf\udce9", "two lines": "a\nb"}[kind]).write_text("x")
    with pytest.raises(BenchError) as caught:
        push(folder, str(tmp_path / "store"))
    assert str(caught.value).isprintable()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("text", ["", "{", "[" * 9999, '{"format": 9, "kind": "run", "files": {}}', "\udcff"])
def test_a_list_that_cannot_be_read_is_written_over_when_asked(
    run: Path, store: Path, tmp_path: Path, text: str
) -> None:
    (store / LIST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BenchError):
        push(run, str(store))
    push(run, str(store), replace=True)
    assert pull(str(store), tmp_path / "here").kind == "run"


def test_a_push_that_replaces_and_is_stopped_has_no_list(run: Path, store: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", {"slda": 0.9}, sessions=1, run="two")

    def stop(name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(other, str(store), replace=True, said=stop)
    assert not (store / LIST).exists()


def test_a_list_is_written_whole_or_not_at_all(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that is stopped where the list is half-written can be made again, and leaves nothing behind."""
    replace = Path.replace

    def stop(path: Path, target: Path) -> Path:
        if target.name == LIST:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            push(run, str(tmp_path / "store"))
    assert not (tmp_path / "store" / LIST).exists()
    push(run, str(tmp_path / "store"))
    assert not list((tmp_path / "store").rglob("*.tmp"))
    pull(str(tmp_path / "store"), tmp_path / "here")


def test_a_run_that_is_removed_while_it_is_pushed(run: Path, tmp_path: Path) -> None:
    there = shutil.copytree(run, tmp_path / "run")
    with pytest.raises(BenchError, match=r"run.json cannot be read .*being changed"):
        push(there, str(tmp_path / "store"), said=lambda name: (there / name).unlink())
    assert not (tmp_path / "store" / LIST).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from bench.sharing import transfer
moment, seen = sys.argv[3], [0]
def stop(name):
    seen[0] += 1
    if str(seen[0]) == moment: os.kill(os.getpid(), signal.SIGKILL)
if moment == "rename": Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
transfer.pull(sys.argv[1], Path(sys.argv[2]), said=stop)
"""


@pytest.mark.parametrize("moment", ["1", "2", "rename"])
def test_a_killed_pull_leaves_nothing_after_the_next(store: Path, tmp_path: Path, moment: str) -> None:
    place = tmp_path / "place"
    words = [sys.executable, "-c", KILLED, str(store), str(place / "here"), moment]
    assert subprocess.run(words, check=False).returncode == -9
    assert not (place / "here").exists()
    assert len(list(place.iterdir())) == 1
    pull(str(store), place / "here")
    assert [path.name for path in place.iterdir()] == ["here"]


@pytest.mark.parametrize("address", ["", " ", "a\nb", "\x1b[2J", "\ud800", "zip://a::run.json", "zip://a::/dev/null"])
def test_addresses_of_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text("no archive")
    for act in (lambda: push(run, address), lambda: pull(address, tmp_path / "here")):
        with pytest.raises(BenchError) as caught:
            act()
        assert str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(BenchError, match="does not answer"):
        pull("hf://datasets/a/b", tmp_path / "here")


@pytest.mark.parametrize("there", ["file", "folder", "link to nothing"])
def test_what_is_there_is_not_pulled_over(store: Path, tmp_path: Path, there: str) -> None:
    out = tmp_path / "here"
    {"file": out.touch, "folder": out.mkdir, "link to nothing": lambda: out.symlink_to("nowhere")}[there]()
    with pytest.raises(BenchError, match="is there already"):
        pull(str(store), out)


@pytest.mark.parametrize("out", ["/dev/full/x", "/proc/x", "file/x", "x" * 300])
def test_where_nothing_can_be_written(store: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot write") as caught:
        pull(str(store), tmp_path / out)
    assert "\n" not in str(caught.value)


SERVERS: dict[str, Act] = {
    "body of a byte now and then": drips(OK + b"Content-Length: 1000\r\n\r\n"),
    "header of a byte now and then": drips(OK + b"X: "),
    "says nothing": silent,
    "resets": resets,
    "hangs up in the body": says(OK + b"Content-Length: 100\r\n\r\n{"),
    "body without end": floods(OK + b"\r\n", b" " * 10_000),
    "a gzip bomb": body(BOMB, "Content-Encoding: gzip"),
    "a number for a length": says(OK + b"Content-Length: many\r\n\r\n{}"),
    "to itself": moved("/again"),
    "to a file": moved("file:///etc/passwd"),
    "to loopback by name": moved("http://localhost:{port}/"),
    "to the metadata of a cloud": moved("http://169.254.169.254/latest/meta-data/"),
    "with a password": moved("http://user:secret-token@127.0.0.1:{port}/"),
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    server = Hostile()
    server.act = SERVERS[kind]
    monkeypatch.setattr(session, "Limits", lambda **more: Limits(seconds=0.6, **more))
    monkeypatch.setattr(places, "_SILENT", 0.5)
    monkeypatch.setattr("bench.sharing.transfer.LARGEST_LIST", 1 << 20)
    begun = time.monotonic()
    with pytest.raises(BenchError) as caught:
        pull(f"http://127.0.0.1:{server.port}", tmp_path / "here")
    server.close()
    # A busy machine takes what it takes besides.
    assert time.monotonic() - begun < 6
    assert str(caught.value).isprintable()
    assert "secret-token" not in str(caught.value)
    assert not list(tmp_path.iterdir())
