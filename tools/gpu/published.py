"""The cost profile of the founding paper: multiply-adds and bytes for a batch of 256 and 1000 classes.

Kang et al., Memory-Modular Classification, TMLR 2025, section 4.5. The published numbers are read from
``bench/runner/experiments/published.yaml``, and what stands beside them are the columns of the harness's own records.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from bench.cost.flops import count
from bench.functional.attention import Block, integrate_each, standardise
from bench.perf.comparisons import draw
from bench.perf.timing import in_turn
from bench.reports.published.costs import UNITS
from bench.runner.experiments import Published, published
from bench.utils.random import Stream
from tools.gpu.draws import Made, brief
from tools.gpu.section import Cell, Deadline, Row

DIMENSION, NEIGHBOURS = 512, 32
TEXTS = 0.2
"""The share of texts in the memory; the paper does not print it, and what is counted does not depend on it."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """In which size the profile is measured; multiply-adds are brought to the published one.

    Attributes
    ----------
    images : int
        Images encoded at a time.
    batch : int
        Queries answered, and images of a step of training.
    shrunk : int
        The memory is so many times smaller than the published search implies.
    classes : int
    training : int
        Images trained on, once.
    """

    images: int = 256
    batch: int = 256
    shrunk: int = 1
    classes: int = 1000
    training: int = 1024


def rows(device: str, deadline: Deadline, *, scale: Scale = Scale()) -> Iterator[Row]:
    """Yield published and measured numbers; those that are counted are held to the published ones."""
    numbers = {number.label: number for number in published("s4-5")}
    parts = {"memory": _memory, "integration": _integration, "encoding": _encoding}
    for name in deadline.each(list(parts)):
        if isinstance(name, Row):
            yield name
            return
        yield from parts[name](device, numbers, scale)
        # What a part leaves behind would be in the next one's peak.
        gc.collect()


def implied_items(number: Published) -> int:
    """Return the size of the memory whose comparison with a batch takes the published multiply-adds."""
    return round(number.value * 1e9 / (float(number.settings["batch"]) * float(number.settings["dimensions"])))


def _memory(device: str, numbers: dict[str, Published], scale: Scale) -> Iterator[Row]:
    """Search, and training and scoring of MML, by the harness's own meter."""
    search = numbers["kNN retrieval"]
    items = implied_items(search) // scale.shrunk
    made = Made.of(items, scale.classes, DIMENSION, device)
    cost = made.cost(brief("knn", 1, k=NEIGHBOURS), scale.batch)
    per_query = cost["retrieve_flops"] / scale.batch * (implied_items(search) / items)
    yield _counted(search, per_query, cost["retrieve_seconds"], within=0.01, remark=f"{items:,} items")
    cost = made.cost(brief("mml", 1, k=NEIGHBOURS), scale.batch, texts=TEXTS, training=scale.training)
    own = numbers["knowledge integration"]
    remark = "as it is run here: K and V folded, comparison with the classes included"
    yield _counted(own, cost["score_flops"] / scale.batch, cost["score_seconds"], remark=remark)
    for label, column in (("training", "train_peak_gpu_bytes"), ("classifying 1000 classes", "score_peak_gpu_bytes")):
        number, peak = numbers[label], cost[column]
        gb = None if peak is None else UNITS[number.unit](peak, 1)
        problem = f"{label}: the meter tells no peak of the card" if peak is None and device != "cpu" else ""
        seconds = cost[column.replace("peak_gpu_bytes", "seconds")]
        yield _row(number, gb, seconds, None, f"{items:,} items on the device, no encoder", problem)


def _integration(device: str, numbers: dict[str, Published], scale: Scale) -> Iterator[Row]:
    """The two blocks in the paper's own arrangement, K and V applied to each neighbour."""
    blocks = [Block.initial(DIMENSION, Stream(n)).map(lambda w: w.to(device)) for n in range(2)]
    f = draw(scale.batch, DIMENSION, "f", device)
    items = standardise(draw(scale.batch * NEIGHBOURS, DIMENSION, "items", device).view(scale.batch, NEIGHBOURS, -1))

    @torch.no_grad()
    def run() -> list[torch.Tensor]:
        return [integrate_each(block, f, items) for block in blocks]

    seconds = in_turn({"run": run}, device, at_least=0.1)["run"]
    # The paper does not print how it counts; all matrix products of its code come to 7 % less.
    remark = "in the paper's arrangement; all its products come to 9.9"
    yield _counted(numbers["knowledge integration"], count(run).products / scale.batch, seconds, 0.1, remark)


def _encoding(device: str, numbers: dict[str, Published], scale: Scale) -> Iterator[Row]:
    """The image tower of ViT-B/32 with random weights, which cost what trained ones do."""
    tower = vit_b_32().to(device)
    images = torch.zeros(scale.images, 3, 224, 224, device=device)

    @torch.no_grad()
    def run() -> torch.Tensor:
        encoded: torch.Tensor = tower(images)
        return encoded

    seconds = in_turn({"run": run}, device, at_least=0.1)["run"]
    remark = f"random weights, {scale.images} images at a time"
    yield _counted(numbers["feature extraction"], count(run).products / scale.images, seconds, 0.01, remark)


def vit_b_32() -> nn.Module:
    """Return the image tower of CLIP's ViT-B/32 as open_clip builds it, with random weights, on the CPU."""
    import open_clip

    # It warns that weights are random, which is what is wanted.
    logging.disable(logging.WARNING)
    try:
        with torch.random.fork_rng(devices=[]):
            model = open_clip.create_model("ViT-B-32", pretrained=None, require_pretrained=False)
    finally:
        logging.disable(logging.NOTSET)
    tower: nn.Module = model.visual.eval()
    return tower


def _counted(number: Published, flops: float, seconds: float, within: float | None = None, remark: str = "") -> Row:
    """Return a row of FLOPs an image or query, in the published unit and for the published batch."""
    value = UNITS[number.unit](flops, float(number.settings["batch"]))
    apart = abs(value / number.value - 1)
    problem = f"{number.label}: {value:.4g} beside {number.value} published" if within and apart > within else ""
    return _row(number, value, seconds, within, remark, problem)


def _row(
    number: Published, value: float | None, seconds: float, within: float | None, remark: str, problem: str
) -> Row:
    cells: dict[str, Cell] = {
        "what": number.label,
        "unit": number.unit,
        "published": number.value,
        "here": value,
        "here / published": None if value is None else value / number.value,
        "held to": "shown only" if within is None else f"{100 * within:g} %",
        "seconds": seconds,
        "remark": remark,
    }
    return Row(cells, problem)
