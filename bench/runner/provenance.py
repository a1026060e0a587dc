"""Provenance of results: code, packages, machine, arguments."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.utils.version import __version__

_PACKAGE = Path(__file__).resolve().parent.parent
"""The folder of the package ``bench``."""
_PACKAGES = (
    "torch",
    "open_clip_torch",
    "faiss-cpu",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "safetensors",
    "transformers",
    "ray",
    "pymilvus",
    "milvus-lite",
)


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Return the commit of the harness's own checkout and whether it is modified; None outside a checkout."""
    here = _PACKAGE

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    top = git("rev-parse", "--show-toplevel")
    # A virtual environment may lie inside somebody else's checkout; only our own counts.
    if top is None or Path(top) != here.parent:
        return None, None
    changes = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "HEAD"), None if changes is None else bool(changes)


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages that can move a number."""
    found = {"retrieval-bench": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def processor() -> str:
    """Return the model name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def collect(device: str, arguments: list[str] | None = None) -> dict[str, Any]:
    """Return the provenance of a record, as plain values."""
    import torch

    commit, dirty = git_state()
    return {
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": package_versions(),
        "platform": platform.platform(),
        "cpu": processor(),
        "gpu": torch.cuda.get_device_name() if device.startswith("cuda") else None,
        "device": device,
        "threads": torch.get_num_threads(),
        "arguments": sys.argv[1:] if arguments is None else arguments,
    }
