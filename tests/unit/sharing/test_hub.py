"""Pushing to the Hugging Face Hub: a server on loopback that answers at the addresses its client asks."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.sharing.listing import LIST
from tests.statistics.runs import make_run
from tests.unit.sharing.test_sharing import _Hub, files

pytest.importorskip("fsspec", reason="pip install 'retrieval-bench[share]'")
pytest.importorskip("huggingface_hub")

PROGRAM = """
import sys, pathlib
from bench.sharing.transfer import pull, push
said = []
for _ in range(2):  # what is there and equal is not sent again
    push(pathlib.Path(sys.argv[1]), "hf://datasets/a/b", said=said.append)
pull("hf://datasets/a/b", pathlib.Path(sys.argv[2]))
print(len(said))
"""


class _Writable(_Hub):
    """The same, and files that a commit holds are written into ``root``."""

    commits: list[str]

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        answer: Any = {}
        if path == "/api/datasets/a/b/preupload/main":
            asked = json.loads(content)["files"]
            answer = {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked]}
        elif path == "/api/datasets/a/b/commit/main":
            for entry in map(json.loads, content.splitlines()):
                if entry["key"] == "file":
                    place = self.root / entry["value"]["path"]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(base64.b64decode(entry["value"]["content"]))
                    self.commits.append(entry["value"]["path"])
            here = f"http://127.0.0.1:{self.server.server_address[1]}/datasets/a/b/commit/{'a' * 40}"
            answer = {"success": True, "commitOid": "a" * 40, "commitUrl": here, "hookOutput": ""}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_what_is_pushed_to_the_hub_is_pulled_from_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"knn": 0.5}, sessions=1, run="one")
    (tmp_path / "hub").mkdir()
    commits: list[str] = []
    kind = type("Hub", (_Writable,), {"root": tmp_path / "hub", "commits": commits})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home")}
    settings |= {"HF_TOKEN": "hf_a_secret", "HF_HUB_DISABLE_TELEMETRY": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(run), str(tmp_path / "pulled")],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "pulled") == files(run)
    # Each file once, and the list last: whoever pulls meets all of it or nothing.
    assert sorted(commits) == sorted([*files(run), LIST])
    assert commits[-1] == LIST
    assert int(done.stdout.split()[-1]) == len(files(run))
    assert "hf_a_secret" not in done.stdout + done.stderr
