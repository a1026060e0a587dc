"""Arrays of Arrow made without pandas, beside those that pyarrow makes."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bench.results.arrow_arrays import arrow_array

SAME: list[tuple[Any, pa.DataType]] = [
    ([1, None, -(2**63), 2**63 - 1], pa.int64()),
    (np.arange(9)[::2], pa.int64()),
    (np.arange(3, dtype=np.uint8), pa.int64()),
    ([np.int64(3), 4], pa.int64()),
    ([], pa.int64()),
    ([None] * 9, pa.int64()),
    ([0.1, None, math.nan, -math.inf, 3], pa.float64()),
    (np.array([0.5, np.nan], dtype=np.float32), pa.float64()),
    ([True, None, False] * 5, pa.bool_()),
    (np.array([True, False]), pa.bool_()),
    (["", None, "ä\u1e45", "🙂", "a\0b"], pa.string()),
    ([None, None], pa.string()),
    (np.array(["x", "yy"]), pa.string()),
    ([[1, 2], None, [], (3,)], pa.list_(pa.int64())),
    ([[1, None], [2]], pa.list_(pa.int64())),
    ([np.arange(2), None], pa.list_(pa.int64())),
    ([], pa.list_(pa.int64())),
    ([1.0, 2], pa.int64()),
]


@pytest.mark.parametrize(("values", "kind"), SAME)
def test_arrays_are_those_of_pyarrow(values: Any, kind: pa.DataType) -> None:
    made, expected = arrow_array(values, kind), pa.array(values, type=kind)
    made.validate(full=True)
    assert made.type == expected.type
    assert made.null_count == expected.null_count
    assert str(made.to_pylist()) == str(expected.to_pylist())  # NaN is not equal to itself


@pytest.mark.parametrize(
    ("values", "kind"),
    [([2**53 + 1], pa.float64()), ([2**63], pa.int64()), (["1"], pa.int64()), ([1], pa.string()), ([1], pa.bool_())],
)
def test_what_pyarrow_refuses_is_refused(values: Any, kind: pa.DataType) -> None:
    for make in (arrow_array, lambda given, wanted: pa.array(given, type=wanted)):
        with pytest.raises((pa.ArrowException, TypeError, OverflowError)):
            make(values, kind)


def test_a_finished_run_has_imported_nothing_large_but_torch_and_arrow(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bench.cli.main import main\n"
        "try:\n    main('run --methods protonet --data digits --seeds 1 --out runs'.split())\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "print({'pandas', 'scipy', 'sklearn', 'triton', 'rich', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
