"""The server, asked by a real client over a loopback socket."""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import Classifier
from bench.utils.errors import BenchError
from tests.unit.pictures import lay_out

for needed in ("starlette", "uvicorn", "httpx"):
    pytest.importorskip(needed, reason="pip install 'retrieval-bench[serve]'")

import httpx  # noqa: E402
import uvicorn  # noqa: E402

from bench.serving.app import App  # noqa: E402
from bench.serving.limits import Bucket, Limits  # noqa: E402
from bench.serving.server import TOKEN, listen, token_for  # noqa: E402
from bench.serving.service import Service  # noqa: E402

CLASSES = "abc"
D = 8


def features(per_class: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = 4 * np.eye(D, dtype="float32")[np.repeat([0, 1, 2], per_class)]
    return rng.standard_normal((3 * per_class, D)).astype("float32") + centres


def fitted() -> Classifier:
    return Classifier("knn:k=3").fit(features(6, 0), np.repeat(list(CLASSES), 6), ids=[f"i{n}" for n in range(18)])


@contextmanager
def serving(classifier: Classifier, *, limits: Limits | None = None, folder: Path | None = None, **options: Any) -> Any:
    """Yield a client of a server in a thread of this process."""
    allowed = limits or Limits()
    app = App(Service(classifier, folder=folder, pixels=allowed.pixels), limits=allowed, **options)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app.asgi(), log_level="error", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30, trust_env=False) as c:
            yield c
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(fitted(), hosts=frozenset({"127.0.0.1"})) as found:
        yield found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {f"{c}/{n}.png": 10 * i + n for i, c in enumerate("xyz") for n in range(4)}
    return lay_out(tmp_path_factory.mktemp("photos"), names)


@pytest.fixture(scope="module")
def of_photos(photos: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    os.environ["BENCH_CACHE"], before = str(tmp_path_factory.mktemp("cache")), os.environ.get("BENCH_CACHE")
    try:
        return Classifier("knn:k=1", encoder=f"tiny-vit:{tiny}/tiny-vit.safetensors").fit(photos)
    finally:
        os.environ.pop("BENCH_CACHE") if before is None else os.environ.update(BENCH_CACHE=before)


def test_answers_are_the_classifiers(client: httpx.Client) -> None:
    x = features(2, 1)
    found = client.post("/v1/predict", json={"features": x.tolist(), "neighbours": 2})
    assert found.status_code == 200, found.text
    assert found.json()["answers"] == [one.plain() for one in fitted().answer(x, neighbours=2)]
    none = client.post("/v1/predict", json={"features": x[:1].tolist(), "none_below": 0.999999}).json()["answers"][0]
    assert none["label"] == "none of these"


def test_images_are_taken_by_their_bytes_whatever_they_are_said_to_be(of_photos: Classifier, photos: Path) -> None:
    raw = (photos / "y" / "2.png").read_bytes()
    jpeg = io.BytesIO()
    Image.open(photos / "y" / "2.png").convert("RGB").save(jpeg, "BMP")
    with serving(of_photos, limits=Limits(pixels=8000)) as client:
        for body, said in ((raw, "image/png"), (raw, "image/jpeg"), (jpeg.getvalue(), "image/png"), (raw, "text/html")):
            found = client.post("/v1/predict", content=body, headers={"content-type": said})
            assert found.status_code == 200, found.text
            assert found.json()["answers"][0]["label"] == "y"
        several = {"images": [base64.b64encode(raw).decode()] * 2}
        assert len(client.post("/v1/predict", json=several).json()["answers"]) == 2
        lies = {
            b"<svg xmlns='http://www.w3.org/2000/svg'/>": "not an image of a known format",
            b"GIF89a" + b"\0" * 30: "cannot be used",
            raw[: len(raw) // 2]: "corrupt image",
            b"": "not an image of a known format",
            b"PK\x03\x04" + b"\0" * 40: "not an image of a known format",
        }
        for body, why in lies.items():
            found = client.post("/v1/predict", content=body, headers={"content-type": "image/png"})
            assert found.status_code == 422
            assert why in found.json()["error"]
        large = io.BytesIO()
        Image.new("L", (100, 81)).save(large, "PNG")
        found = client.post("/v1/predict", content=large.getvalue(), headers={"content-type": "image/png"})
        assert found.status_code == 422
        assert "huge image of 100 x 81 pixels" in found.json()["error"]


def test_what_makes_no_sense_is_refused_in_one_line(client: httpx.Client) -> None:
    for body, status, why in (
        ({"features": [[1.0] * 5]}, 422, "d = 5"),
        ({"features": [[0.0] * D]}, 422, "zero vector"),
        ({"features": [["x"] * D]}, 422, ""),
        ({"features": [[1.0] * D], "images": ["eA=="]}, 400, "either images or features"),
        ({}, 400, "either images or features"),
        ({"images": ["!"]}, 400, "no base64"),
        ({"images": []}, 400, "something in it"),
        ({"featuers": []}, 400, "unknown field 'featuers'"),
        ({"features": [[1.0] * D], "neighbours": -1}, 400, "'neighbours'"),
        ({"features": [[1.0] * D], "none_below": 2}, 422, "no confidence"),
        ({"features": [[1.0] * D] * 65}, 413, "more than 64"),
        ([1], 400, "JSON object"),
    ):
        found = client.post("/v1/predict", json=body)
        assert (found.status_code, why in found.json()["error"]) == (status, True), (body, found.text)
        assert "\n" not in found.json()["error"]
    said = {"content-type": "application/json"}
    assert client.post("/v1/predict", content=b"{", headers=said).status_code == 400
    assert client.post("/v1/predict", content=b'{"features": NaN}', headers=said).status_code == 400
    assert client.get("/v1/predict").status_code == 405
    assert client.get("/nowhere").status_code == 404
    assert client.post("/v1/items", json={"ids": ["i0"]}).status_code == 404


def test_bytes_rate_and_waiting_are_limited() -> None:
    limits = Limits(request_bytes=2000, per_second=0.5, burst=3, images=3)
    with serving(fitted(), limits=limits) as client:
        assert client.post("/v1/predict", content=b"x" * 2001).status_code == 413
        # Without a length the body is counted as it arrives.
        assert client.post("/v1/predict", content=(b"x" * 500 for _ in range(10))).status_code == 413
        ask = {"features": features(1, 2).tolist()}
        assert client.post("/v1/predict", json=ask).status_code == 200
        late = client.post("/v1/predict", json=ask)
        assert late.status_code == 429
        assert 1 <= int(late.headers["retry-after"]) <= 6


def test_a_bucket_fills_at_its_rate() -> None:
    now = [0.0]
    bucket = Bucket(2.0, 4.0, clock=lambda: now[0])
    assert bucket.take(4) == 0
    assert bucket.take(1) == pytest.approx(0.5)
    now[0] = 1.0
    assert bucket.take(2) == 0
    now[0] = 100.0
    assert bucket.take(5) == pytest.approx(0.5)


def test_without_the_token_nothing_but_health_is_said() -> None:
    with serving(fitted(), token="t" * 20) as client:
        assert client.get("/health").json() == {"status": "ok"}
        for path in ("/metrics", "/openapi.json", "/v1/classifier"):
            found = client.get(path)
            assert found.status_code == 401
            assert found.headers["www-authenticate"] == "Bearer"
            assert client.get(path, headers={"authorization": "Bearer " + "t" * 19}).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer " + "t" * 20}).status_code == 200


def test_pages_of_other_sites_are_turned_away(client: httpx.Client) -> None:
    assert client.get("/v1/classifier", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/v1/classifier", headers={"origin": "https://evil.example"}).status_code == 403
    assert client.get("/v1/classifier", headers={"origin": str(client.base_url).rstrip("/")}).status_code == 200


def test_metrics_and_the_description_tell_what_there_is(client: httpx.Client) -> None:
    client.post("/v1/predict", json={"features": features(1, 3).tolist()})
    text = client.get("/metrics").text
    assert 'bench_requests_total{route="/v1/predict",status="200"}' in text
    counts = [float(line.rpartition(" ")[2]) for line in text.splitlines() if "seconds_bucket" in line]
    assert counts == sorted(counts)
    assert "bench_items 18" in text
    description = client.get("/openapi.json").json()
    assert set(description["paths"]) == {"/v1/predict", "/v1/classifier", "/health", "/metrics", "/openapi.json"}
    assert description["openapi"].startswith("3.1")
    about = client.get("/v1/classifier").json()
    assert about["classes"] == list(CLASSES)


def test_edits_while_it_answers_leave_every_answer_whole(tmp_path: Path) -> None:
    made = fitted()
    folder = made.save(tmp_path / "kept")
    x = features(1, 4)
    new = (4 * np.eye(D, dtype="float32")[3] + 0.1)[None]
    before = [one.plain() for one in made.answer(x)]
    after = [one.plain() for one in fitted().remove("i0").answer(x)]
    assert before != after
    with serving(made, folder=folder, edits=True, limits=Limits(per_second=1e6, burst=10**6, waiting=1000)) as client:
        stop = threading.Event()

        def ask(_: int) -> list[Any]:
            found = []
            while not stop.is_set():
                answer = client.post("/v1/predict", json={"features": x.tolist()})
                assert answer.status_code == 200, answer.text
                found.append(answer.json()["answers"])
            return found

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, n) for n in range(4)]
            try:
                for _ in range(3):
                    gone = client.request("DELETE", "/v1/items", json={"ids": ["i0"]})
                    assert gone.status_code == 200, gone.text
                    assert gone.json()["items"] == 17
                    back = {"features": features(6, 0)[:1].tolist(), "labels": ["a"], "ids": ["i0"]}
                    assert client.post("/v1/items", json=back).json()["items"] == 18
            finally:
                stop.set()
            found = [answers for future in asked for answers in future.result()]
        assert len(found) >= 4
        kinds = {repr([(a["label"], a["probability"]) for a in answers]) for answers in found}
        # The item that comes back stands behind the others, which moves no vote.
        assert kinds <= {repr([(a["label"], a["probability"]) for a in answers]) for answers in (before, after)}
        done = client.post("/v1/items", json={"features": new.tolist(), "labels": ["d"], "ids": ["n"]})
        assert done.json()["classes"] == [*CLASSES, "d"]
        assert client.request("DELETE", "/v1/items", json={"ids": ["i99"]}).status_code == 422
        assert "bench_edits_total 7" in client.get("/metrics").text
    kept = Classifier.load(folder)
    assert kept.classes_.tolist() == [*CLASSES, "d"]
    assert len(kept.log_) == 7


def test_a_token_is_needed_beyond_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert token_for("127.0.0.1") is None
    assert token_for("::1") is None
    for host in ("0.0.0.0", "192.168.0.7", "example.org", "::"):
        with pytest.raises(BenchError, match="takes a token; set BENCH_SERVE_TOKEN"):
            token_for(host)
    monkeypatch.setenv(TOKEN, "short")
    with pytest.raises(BenchError, match="16 or more characters"):
        token_for("0.0.0.0")
    monkeypatch.setenv(TOKEN, "t" * 16)
    assert token_for("0.0.0.0") == "t" * 16


def test_a_port_in_use_and_an_odd_address_are_one_line() -> None:
    why = r"cannot listen on 127\.0\.0\.1, port \d+ .*choose another --port"
    with listen("127.0.0.1", 0) as taken, pytest.raises(BenchError, match=why):
        listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(BenchError, match=r"no address of this machine|cannot listen"):
        listen("256.1.1.1", 0)


def test_limits_that_let_nothing_through_are_refused() -> None:
    with pytest.raises(BenchError, match="0 pixels lets nothing through"):
        Limits(pixels=0)
    with pytest.raises(BenchError, match="a burst of 2 is less than the 64 images"):
        Limits(burst=2)


def test_the_command_answers_and_ends_when_asked(tmp_path: Path) -> None:
    folder = fitted().save(tmp_path / "kept")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "bench", "serve", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert f"knn(k=3) over 3 classes answers at http://127.0.0.1:{port}/v1/predict" in said
            with httpx.Client(trust_env=False, timeout=30) as client:
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline:
                    try:
                        assert client.get(f"http://127.0.0.1:{port}/health").status_code == 200
                        break
                    except httpx.ConnectError:
                        time.sleep(0.05)
                ask = {"features": features(1, 5).tolist()}
                found = client.post(f"http://127.0.0.1:{port}/v1/predict", json=ask).json()["answers"]
            assert [one["label"] for one in found] == list(CLASSES)
            process.send_signal(signal.SIGINT)
            process.wait(30)
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_small_answers_are_sent_at_once() -> None:
    with listen("127.0.0.1", 0) as listening:
        # asyncio turns the delay of small packets off for what says that it is TCP, and for nothing else.
        assert listening.proto == socket.IPPROTO_TCP
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            assert accepted.proto == socket.IPPROTO_TCP
            accepted.close()
