"""What training costs in the default incremental run, where nothing is held out to choose an epoch on.

    BENCH_FULL_SPEED=1 pytest tests/speed/test_demo.py

By the clock, on a quiet machine.
"""

from __future__ import annotations

import json

from bench.runner.api import run
from tests.speed.quiet import needs_quiet

LIMIT = 2.0
"""Seconds a seed for a training that nothing judges."""


@needs_quiet
def test_training_in_the_default_run_is_judged_on_images_held_out_or_short() -> None:
    frame = run("incremental", ["icarl", "mml"], "glyphs", seeds=1, device="cpu", calibrate=False, progress=False)
    assert set(frame["status"]) == {"ok"}
    for name, rows in frame.groupby("method"):
        told = [json.loads(details) for details in rows["details"]]
        assert all(isinstance(one["untrained_start_chosen"], bool) for one in told)
        unjudged = any(one["chosen_on"] == "nothing" for one in told)
        seconds = rows[["train_seconds", "build_seconds"]].sum().sum()
        print(name, f"{seconds:.2f} s", "unjudged" if unjudged else "judged")
        assert not unjudged or seconds < LIMIT
