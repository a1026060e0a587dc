"""Features of the bundled encoder on the CPU against the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from PIL import Image
from torch import Tensor

from bench.data.glyphs.catalogue import characters
from bench.data.glyphs.render import draw
from bench.encoders import BATCH_TOLERANCE, Encoder, load_encoder
from bench.encoders.glyphs.load import NAME
from bench.perf.timing import in_turn
from tools.gpu.section import Cell, Deadline, Row


def rows(device: str, deadline: Deadline, *, count: int = 256, batches: Sequence[int] = (1, 64, 256)) -> Iterator[Row]:
    """Yield the largest difference of a component of a unit-norm feature, for images and texts and batch sizes."""
    here, there = load_encoder(NAME, device="cpu"), load_encoder(NAME, device=device)
    chosen = characters("seen")[:count]
    images = [Image.fromarray(draw(one.char, seed=0, split_name="gpu report", index=n)) for n, one in enumerate(chosen)]
    texts = [one.name for one in chosen]
    encode: dict[str, Callable[[Encoder, int], Tensor]] = {
        "images": lambda encoder, batch: encoder.encode_images(images, batch=batch),
        "texts": lambda encoder, batch: encoder.encode_texts(texts, batch=batch).x,
    }
    expected = {what: run(here, max(batches)) for what, run in encode.items()}
    for name in deadline.each([f"{what} {batch}" for what in encode for batch in batches]):
        if isinstance(name, Row):
            yield name
            return
        what, _, batch = name.partition(" ")
        run = partial(encode[what], there, int(batch))
        apart = float((run() - expected[what]).abs().max())
        # Features come back to the CPU, whose clock therefore waits for the device.
        seconds = in_turn({"run": run}, "cpu", rounds=1)["run"]
        cells: dict[str, Cell] = {
            "what": what,
            "batch": int(batch),
            "largest difference": apart,
            "allowed": BATCH_TOLERANCE,
            "a second": count / seconds,
        }
        problem = f"{what} in batches of {batch} differ by {apart:.2g} > {BATCH_TOLERANCE:g}"
        yield Row(cells, problem if apart > BATCH_TOLERANCE else "")
