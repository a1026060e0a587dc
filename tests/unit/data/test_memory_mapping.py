"""A pack is mapped and not loaded: resident memory grows with what is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.data.manifest import FORMAT
from bench.data.pack import write_manifest, write_split, write_texts

ROWS, WIDTH = 60_000, 256
BYTES = ROWS * WIDTH * 4

# Rss of the process in bytes, when the pack is opened, when a fifth of its features was used, and when all were.
READER = """
import json, sys
from pathlib import Path
from bench.data.pack import open_pack

def resident():
    return int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1]) * 1024

folder = Path(sys.argv[1])
open_pack(folder / 'small', None)  # whatever the first pack of a process loads besides
before = resident()
x = open_pack(folder / 'large', None).splits['train'].x
seen = [resident()]
for part in (x[: len(x) // 5], x):
    part.sum()
    seen.append(resident())
print(json.dumps([n - before for n in seen]))
"""


def make(folder: Path, rows: int) -> None:
    x = torch.zeros(rows, WIDTH)
    x[:, 0] = 1
    entry = write_split(folder, "train", x, torch.arange(rows) % 2)
    prompts = write_texts(folder, "prompts", x[:2], torch.arange(2), ["a", "b"], ["prompt"] * 2)
    manifest = {"format": FORMAT, "name": folder.name, "dimension": WIDTH, "classes": ["a", "b"]}
    roles = {"support": ["train"], "query": [], "validation": []}
    write_manifest(folder, manifest | {"splits": {"train": entry}, "roles": roles, "prompts": prompts})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_resident_memory_grows_with_what_is_used(tmp_path: Path) -> None:
    for name, rows in (("small", 10), ("large", ROWS)):
        (tmp_path / name).mkdir()
        make(tmp_path / name, rows)
    done = subprocess.run([sys.executable, "-c", READER, str(tmp_path)], capture_output=True, text=True, check=True)
    opened, fifth, whole = json.loads(done.stdout)
    # Labels, and names of 12 characters of 4 bytes, are held; features are not.
    assert opened < 0.25 * BYTES
    assert 0.15 * BYTES < fifth - opened < 0.4 * BYTES
    assert whole - opened > 0.9 * BYTES
