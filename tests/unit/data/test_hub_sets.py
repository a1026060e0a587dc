"""Data sets of the Hugging Face hub: from a server on this machine that answers as it does, or lies."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants as hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from bench.cli.main import main
from bench.data.registry import resolve
from tests.unit.pictures import noise

SHA, CONVERTED = "a" * 40, "b" * 40


def _parquet(start: int) -> bytes:
    """Six rows as the library datasets writes them."""
    rows = []
    for seed in range(start, start + 6):
        picture = io.BytesIO()
        noise(seed).save(picture, "png")
        rows.append({"image": {"bytes": picture.getvalue(), "path": None}, "label": seed % 2})
    features = {"image": {"_type": "Image"}, "label": {"names": ["owl", "fox"], "_type": "ClassLabel"}}
    table = pa.Table.from_pylist(rows).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@dataclass
class Repository:
    """What the server has of one data set: files by branch, and what else it says."""

    files: dict[str, dict[str, bytes]]
    more: dict[str, Any] = field(default_factory=dict)
    lies: bool = False
    """Sends other bytes than it lists."""
    plain: bool = False
    """Lists files as git has them, and not as large ones."""

    def info(self, branch: str) -> dict[str, Any]:
        siblings = []
        for name, content in self.files[branch].items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(content)}
            entry["blobId"] = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            if not self.plain:
                entry["lfs"] = {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 1,
                }
            siblings.append(entry)
        sha = SHA if branch == "main" else CONVERTED
        said = {"id": "zoo/birds", "sha": sha, "siblings": siblings, "private": False, "gated": False}
        return said | {"cardData": {"license": "cc-by-4.0"}} | self.more


class Handler(BaseHTTPRequestHandler):
    """The two endpoints that are asked: what a data set holds, and a file of it."""

    server: Any

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        repository: Repository = self.server.repository
        path = self.path.partition("?")[0]
        if path.startswith("/api/datasets/zoo/birds"):
            branch = "main" if path.endswith("birds") else "converted"
            if branch in repository.files:
                self._send(json.dumps(repository.info(branch)).encode())
                return
        for branch, sha in (("main", SHA), ("converted", CONVERTED)):
            prefix = f"/datasets/zoo/birds/resolve/{sha}/"
            if path.startswith(prefix):
                content = repository.files[branch][path.removeprefix(prefix)]
                self._send(content[:-1] + b"?" if repository.lies else content)
                return
        self.send_error(404)

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


SPLITS = {"data/train-00000-of-00001.parquet": _parquet(0), "data/test-00000-of-00001.parquet": _parquet(50)}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.repository = Repository({"main": {"README.md": b"# birds", **SPLITS}})
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{made.server_port}")
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def _prepare(root: Path, *more: str, name: str = "hf:zoo/birds") -> Result:
    return CliRunner().invoke(main, ["data", "prepare", name, "--root", str(root), *more])


def _refused(done: Result) -> str:
    assert done.exit_code == 2, done.output
    (line,) = [line for line in done.output.strip().splitlines() if line.startswith("bench: ")]
    assert done.output.strip().splitlines()[-1] == line
    return line


@pytest.mark.parametrize("plain", [False, True])
def test_a_data_set_is_fetched_once_told_of_and_encoded(
    server: Any, tmp_path: Path, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repository.plain = plain
    assert "--download` fetches it" in _refused(_prepare(tmp_path))
    done = _prepare(tmp_path, "--download")
    assert done.exit_code == 0, done.output
    assert done.output.count("licence: cc-by-4.0") == 2
    assert "12 images of 2 classes" in done.output
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")
    again = _prepare(tmp_path, "--encoder", "glyphs", "--out", str(tmp_path / "pack"))
    assert again.exit_code == 0, again.output
    dataset = resolve(tmp_path / "pack")
    assert dataset.class_names == ("owl", "fox")
    assert (dataset.card.licence, dataset.card.revision) == ("cc-by-4.0", f"zoo/birds@{SHA}")
    assert (len(dataset.role("support")), len(dataset.role("query"))) == (6, 6)


def test_files_of_an_earlier_revision_are_fetched_again(server: Any, tmp_path: Path) -> None:
    assert _prepare(tmp_path, "--download").exit_code == 0
    train = tmp_path / "zoo--birds/data/train-00000-of-00001.parquet"
    assert "licence:" not in _prepare(tmp_path, "--download").output, "fetched again though nothing changed"
    server.repository.files["main"]["data/train-00000-of-00001.parquet"] = _parquet(200)
    done = _prepare(tmp_path, "--download")
    assert done.exit_code == 0, done.output
    assert train.read_bytes() == _parquet(200)


def test_where_it_has_no_parquet_the_hubs_own_conversion_is_taken(server: Any, tmp_path: Path) -> None:
    converted = {f"default/{split}/0000.parquet": _parquet(start) for split, start in (("train", 0), ("test", 50))}
    server.repository = Repository({"main": {"birds.py": b"..."}, "converted": converted})
    done = _prepare(tmp_path, "--download")
    assert done.exit_code == 0, done.output
    assert "12 images of 2 classes" in done.output


def test_one_of_several_configurations_is_named(server: Any, tmp_path: Path) -> None:
    files = {
        f"{config}/train-00000-of-00001.parquet": _parquet(start) for config, start in (("small", 0), ("large", 9))
    }
    server.repository = Repository({"main": files})
    assert "several configurations (large, small); write hf:zoo/birds:large" in _refused(
        _prepare(tmp_path, "--download")
    )
    assert "no configuration 'huge'; it has large, small" in _refused(
        _prepare(tmp_path, "--download", name="hf:zoo/birds:huge")
    )
    done = _prepare(tmp_path, "--download", name="hf:zoo/birds:small")
    assert "6 images of 2 classes" in done.output
    assert not [path for path in tmp_path.rglob("*") if "large" in path.name]


@pytest.mark.parametrize(
    ("repository", "said"),
    [
        (Repository({"main": SPLITS}, lies=True), "whose sha256 is"),
        (Repository({"main": SPLITS}, lies=True, plain=True), "whose git is"),
        (Repository({"main": SPLITS}, more={"gated": "auto"}), "given to those who ask"),
        (Repository({"main": SPLITS}, more={"private": True}), "given to those who ask"),
        (Repository({"main": {"a.csv": b"a"}, "converted": {}}), "has no Parquet files"),
        (Repository({"main": {"a.csv": b"a"}}), "the hub gives no data set"),
        (Repository({"main": {"../../out/x.parquet": b"a"}}), "leads out"),
        (Repository({}), "the hub gives no data set"),
    ],
)
def test_what_cannot_be_had_is_one_line_and_leaves_no_whole_data_set(
    server: Any, tmp_path: Path, repository: Repository, said: str
) -> None:
    server.repository = repository
    assert said in _refused(_prepare(tmp_path, "--download"))
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".parquet", ".json")]


@pytest.mark.parametrize("name", ["hf:birds", "hf:zoo/birds/more", "hf:zoo/../birds", "hf:", "hf:zoo/birds:"])
def test_what_is_no_name_is_one_line(name: str, tmp_path: Path) -> None:
    assert "is no data set of the hub" in _refused(_prepare(tmp_path, "--download", name=name))


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")
    assert "does not answer" in _refused(_prepare(tmp_path, "--download"))
