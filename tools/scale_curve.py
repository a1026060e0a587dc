"""Time, bytes, recall and accuracy of search engines against the size of a synthetic memory.

    python tools/scale_curve.py --folder FOLDER --items 10000,100000,1000000 --engines exact,sq8,ivfpq

The memory is a file of float16 vectors in FOLDER, written block by block and searched through a memory map; smaller
memories are its first items. Indexes are kept in FOLDER too. Every measurement runs in a process of its own, so that
one's memory is not counted as another's, and is written to FOLDER/curve.json at once.

The data is synthetic: classes are random directions, items are their class's direction with Gaussian noise in a
subspace of 32 dimensions, queries likewise with other draws. Accuracies compare sizes and engines; they say nothing
about real images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.search import top_k
from bench.search.approximate.by_name import named_engine
from bench.search.approximate.engine import Approximate
from bench.utils.atomic import replacing, require_space, write_atomically
from bench.utils.random import Stream

D, CLASSES, K = 512, 1000, 32
DIRECTIONS, NOISE = 32, 2.0
"""Dimensions of the subspace that the noise lies in, shared by all classes, as what varies in the features of real
images is of few dimensions; and the norm of the noise against that of a class's direction."""
BLOCK = 1 << 16


def directions() -> np.ndarray:
    """Return the direction of each class, float32 [CLASSES, D], norms about 1."""
    return Stream(0).child("directions").numpy().standard_normal((CLASSES, D), dtype=np.float32) / D**0.5


def points(purpose: str, block: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` noisy points, float16 [count, D], and their classes, int64 [count]."""
    basis = Stream(0).child("basis").numpy().standard_normal((DIRECTIONS, D), dtype=np.float32) / D**0.5
    draw = Stream(0).child(purpose, block).numpy()
    labels = draw.integers(CLASSES, size=count)
    x = (
        directions()[labels]
        + NOISE / DIRECTIONS**0.5 * draw.standard_normal((count, DIRECTIONS), dtype=np.float32) @ basis
    )
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16), labels


def write_memory(folder: Path, items: int) -> None:
    """Write the memory and its labels, unless they are there."""
    path = folder / "memory.f16"
    if path.exists() and path.stat().st_size >= items * D * 2:
        return
    require_space(folder, items * D * 2, what="the memory")
    labels = np.empty(items, dtype=np.int64)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        for start in range(0, items, BLOCK):
            x, labels[start : start + BLOCK] = points("memory", start, min(BLOCK, items - start))
            stream.write(x.data)
    np.save(folder / "labels.npy", labels)


def resident() -> dict[str, int]:
    """Return the resident bytes of this process: its own (anonymous), and pages of files, which the system may drop."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {name: int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile")}


class Peak:
    """The largest anonymous memory of this process, sampled every 20 ms."""

    def __enter__(self) -> Peak:
        self.start = self.anonymous = resident()["RssAnon"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.anonymous = max(self.anonymous, resident()["RssAnon"])

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def measure(folder: Path, items: int, engine_name: str, n_queries: int, sample: int) -> dict[str, object]:
    """Return one row of the curve."""
    os.environ["BENCH_CACHE"] = str(folder)
    mapped = np.memmap(folder / "memory.f16", dtype=np.float16, mode="c", shape=(items, D))
    keys, labels = torch.from_numpy(mapped), np.load(folder / "labels.npy", mmap_mode="r")
    x, wanted = points("queries", 0, n_queries)
    queries = torch.from_numpy(x).float()
    engine = named_engine(engine_name)
    build = nbytes = None
    began = time.process_time()
    with Peak() as building:
        if isinstance(engine, Approximate):
            opened = engine.opened(keys)
            assert opened is not None
            build, nbytes = opened.seconds, opened.index.nbytes
    making = time.process_time() - began
    with Peak() as searching:
        start, began = time.perf_counter(), time.process_time()
        found = engine.search(queries, keys, K).positions.numpy()
        seconds, processor = time.perf_counter() - start, time.process_time() - began
    truth = found if build is None else top_k(queries[:sample], keys, K).positions.numpy()
    shared = [len(set(a) & set(b)) for a, b in zip(truth[:sample].tolist(), found[:sample].tolist(), strict=True)]
    votes = np.zeros((n_queries, CLASSES))
    np.add.at(votes, (np.arange(n_queries)[:, None], np.asarray(labels[:items])[found]), 1)
    return {
        "engine": engine.name,
        "items": items,
        "queries": n_queries,
        "search_seconds": seconds,
        "search_processor_seconds": processor,
        "index_seconds": build,
        "index_processor_seconds": None if build is None else making,
        "memory_bytes": items * D * 2,
        "index_bytes": nbytes,
        "recall": sum(shared) / (K * len(shared)),
        "accuracy": float((votes.argmax(1) == wanted).mean()),
        "building_peak_bytes": building.anonymous - building.start,
        "searching_peak_bytes": searching.anonymous - searching.start,
        "threads": torch.get_num_threads(),
    }


def _mebibytes(count: int | None) -> str:
    return "not told" if count is None else f"{count / 2**20:,.0f} MiB"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the curve as a Markdown table."""
    head = ["engine", "items", "index", "making it", "search", "wall clock", "recall@32", "accuracy", "peak"]
    lines = [head, ["---"] * len(head)]
    for row in sorted(rows, key=lambda row: (row["items"], row["engine"].partition(":")[0])):
        made = row["index_seconds"] is not None
        lines.append(
            [
                row["engine"].partition(":")[0],
                f"{row['items']:,}",
                _mebibytes(row["index_bytes"]) if made else "none",
                f"{row['index_processor_seconds']:.1f} s" if made else "",
                f"{row['search_processor_seconds']:.2f} s",
                f"{row['search_seconds']:.1f} s",
                f"{row['recall']:.3f}",
                f"{100 * row['accuracy']:.1f} %",
                f"{max(row['building_peak_bytes'], row['searching_peak_bytes']) / 2**20:,.0f} MiB",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--items", default="10000,100000,1000000")
    parser.add_argument("--engines", default="exact,sq8,ivfpq")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--sample", type=int, default=64, help="queries searched exactly as well, for the recall")
    parser.add_argument("--one", action="store_true", help="measure the one size and engine in this process")
    given = parser.parse_args()
    sizes = sorted(int(n) for n in given.items.split(","))
    if given.one:
        print(json.dumps(measure(given.folder, sizes[0], given.engines, given.queries, given.sample)))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    write_memory(given.folder, sizes[-1])
    curve = given.folder / "curve.json"
    rows = json.loads(curve.read_text()) if curve.exists() else []
    for items in sizes:
        for name in given.engines.split(","):
            command = [sys.executable, __file__, "--one", "--folder", given.folder, "--items", items, "--engines", name]
            command += ["--queries", given.queries, "--sample", given.sample]
            done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True)
            new = json.loads(done.stdout)
            rows = [row for row in rows if (row["engine"], row["items"]) != (new["engine"], new["items"])] + [new]
            write_atomically(curve, json.dumps(rows, indent=1) + "\n")
            print(json.dumps(rows[-1]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
