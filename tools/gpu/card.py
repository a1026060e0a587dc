"""Which card a report is of."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from bench.runner.provenance import git_state, processor


@dataclass(frozen=True)
class Card:
    """What a report is headed by.

    Attributes
    ----------
    name, driver, torch, commit, date : str
        As they are printed; ``unknown`` for what nobody tells.
    """

    name: str
    driver: str
    torch: str
    commit: str
    date: str

    @classmethod
    def of(cls, device: str) -> Card:
        """Return what is known of a device and of what runs on it."""
        commit, dirty = git_state()
        name, driver, version = processor(), "none", str(torch.__version__)
        if device != "cpu":
            about = torch.cuda.get_device_properties(device)
            name = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, compute capability {about.major}.{about.minor}"
            driver, version = _driver(), f"{version} for CUDA {torch.version.cuda}"
        return cls(
            name,
            driver,
            version,
            "unknown" if commit is None else commit[:12] + (", modified" if dirty else ""),
            datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )


def _driver() -> str:
    """Return the driver's version by the tool that comes with it, which needs no package."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown"
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    lines = done.stdout.split()
    return lines[0] if not done.returncode and lines else "unknown"
