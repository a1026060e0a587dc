"""Fetching a data set: from a server on this machine that is slow, breaks, lies, or says no."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torchvision.datasets
from click.testing import CliRunner

import bench.data.standard.fetch as module
from bench.cli.main import main
from bench.data.declaration import Declaration, Download
from bench.data.standard import declarations, declared
from bench.utils import web_session as session
from bench.utils.errors import BenchError
from bench.utils.web_session import Limits

fetch = module.fetch


def _archive(name: str = "set/a.txt") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        member = tarfile.TarInfo(name)
        data = bytes(range(256)) * 200
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


CONTENT = _archive()
Behave = Callable[["Handler", bytes, int], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the test says; ranges are understood."""

    server: Any

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        self.server.asked.append(start)
        self.server.behave(self, self.server.content, start)


def honest(handler: Handler, content: bytes, start: int) -> None:
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start:])


def breaks(handler: Handler, content: bytes, start: int) -> None:
    """Sends a third of the file each time."""
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start : start + len(content) // 3 + 1])


def without_ranges(handler: Handler, content: bytes, start: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: 5000 if not start else None])


def other_part(handler: Handler, content: bytes, start: int) -> None:
    if not start:
        return breaks(handler, content, start)
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 7-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - 7))
    handler.end_headers()
    handler.wfile.write(content[7:])
    return None


def another(handler: Handler, content: bytes, start: int) -> None:
    honest(handler, content[:-1] + b"!", start)


def refuses(handler: Handler, content: bytes, start: int) -> None:
    handler.send_error(403)


def silent(handler: Handler, content: bytes, start: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.server.release.wait(20)


def drips(handler: Handler, content: bytes, start: int) -> None:
    """Sends a byte now and then, so that it is never silent."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    for one in content:
        handler.wfile.write(bytes([one]))
        if handler.server.release.wait(0.05):
            return


def leads_elsewhere(handler: Handler, content: bytes, start: int) -> None:
    handler.send_response(302)
    handler.send_header("Location", f"http://localhost:{handler.server.server_port}/set.tar")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.fixture
def server() -> Iterator[Any]:
    made: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.content, made.behave, made.asked, made.release = CONTENT, honest, [], threading.Event()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.release.set()
    made.shutdown()
    thread.join()
    made.server_close()


def of(server: Any, *, content: bytes = CONTENT) -> Declaration:
    url = f"http://127.0.0.1:{server.server_port}/set.tar"
    one = Download(url, "md5", hashlib.md5(content, usedforsecurity=False).hexdigest(), "cifar10", "set/a.txt")
    return replace(declared("cifar10"), downloads=(one,))


def run(server: Any, root: Path, **more: Any) -> list[str]:
    said: list[str] = []
    fetch(of(server, **more), root, say=said.append)
    return said


def left(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_file_is_fetched_checked_and_unpacked_once(server: Any, tmp_path: Path) -> None:
    said = run(server, tmp_path)
    assert left(tmp_path) == ["cifar10/set/a.txt"]
    assert len(said) == 1
    assert "licence: not stated" in said[0]
    assert "MiB" in said[0]
    assert run(server, tmp_path) == []
    assert server.asked == [0]


@pytest.mark.parametrize("behave", [breaks, without_ranges, other_part])
def test_a_broken_transfer_goes_on_until_the_file_is_right(behave: Behave, server: Any, tmp_path: Path) -> None:
    server.behave = behave
    if behave is other_part:
        with pytest.raises(BenchError, match=r"another part|broke"):
            run(server, tmp_path)
        server.behave = honest
    run(server, tmp_path)
    assert left(tmp_path) == ["cifar10/set/a.txt"]
    assert (tmp_path / "cifar10/set/a.txt").read_bytes() == bytes(range(256)) * 200


def test_a_stopped_command_goes_on_with_what_is_there(server: Any, tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10/set.tar.part").write_bytes(CONTENT[:30_000])
    run(server, tmp_path)
    assert server.asked == [30_000]
    assert left(tmp_path) == ["cifar10/set/a.txt"]


@pytest.mark.parametrize(
    ("behave", "message", "kept"),
    [
        (another, "sent a file whose md5 is", []),
        (refuses, "answers 403", []),
        (silent, "the transfer broke", ["cifar10/set.tar.part"]),
        (drips, "not complete after 0.3 seconds", ["cifar10/set.tar.part"]),
        (leads_elsewhere, "leads elsewhere: 'localhost' is at .* no public address", []),
    ],
)
def test_what_cannot_be_had_is_one_line_and_nothing_half(
    behave: Behave, message: str, kept: list[str], server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.2)
    server.behave = behave
    if behave is drips:
        monkeypatch.setattr(session, "Limits", lambda **more: Limits(seconds=0.3, **more))
    with pytest.raises(BenchError, match=message) as caught:
        run(server, tmp_path)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == kept
    monkeypatch.setattr(session, "Limits", Limits)
    server.behave = honest
    run(server, tmp_path)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    class Nobody:
        server_port = 9

    with pytest.raises(BenchError, match="the same command goes on") as caught:
        run(Nobody(), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no archive" * 99, "cannot be unpacked"), (_archive("other/a.txt"), "holds no set/a.txt"),
     (_archive("../../out.txt"), "cannot be unpacked")],
)  # fmt: skip
def test_archives_that_are_none_or_lead_out(content: bytes, message: str, server: Any, tmp_path: Path) -> None:
    server.content = content
    with pytest.raises(BenchError, match=message):
        run(server, tmp_path / "root", content=content)
    assert not (tmp_path / "out.txt").exists()


def test_without_the_flag_it_says_what_to_do_and_a_licence_may_forbid(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["data", "prepare", "cifar10", "--root", str(tmp_path)])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert f"`bench data prepare cifar10 --root {tmp_path} --download`" in done.output
    done = CliRunner().invoke(main, ["data", "prepare", "imagenet", "--root", str(tmp_path), "--download"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "imagenet is not fetched: its licence (non-commercial research" in done.output


def test_addresses_and_hashes_are_those_of_torchvision() -> None:
    known: dict[str, tuple[str, str]] = {}
    sets: Any = torchvision.datasets
    for name in ("CIFAR10", "CIFAR100"):
        known[name.lower()] = (getattr(sets, name).url, getattr(sets, name).tgz_md5)
    known["dtd"] = (sets.DTD._URL, sets.DTD._MD5)
    known["food101"] = (sets.Food101._URL, sets.Food101._MD5)
    known["sun397"] = (sets.SUN397._DATASET_URL, sets.SUN397._DATASET_MD5)
    known["oxford_pets"] = sets.OxfordIIITPet._RESOURCES[0]
    file, md5 = sets.Flowers102._file_dict["image"]
    known["flowers102"] = (sets.Flowers102._download_url_prefix + file, md5)
    found = {name: one.downloads for name, one in declarations().items() if one.downloads}
    assert {name: (one.url, one.digest) for name, (one,) in found.items()} == known
