"""A GPU that runs out of memory in any command: one line and status 2."""

from __future__ import annotations

import click
import pytest
import torch
from click.testing import CliRunner

from bench.cli.main import main

FULL = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
)


def _failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setitem(main.commands, "fail", click.Command("fail", callback=fail))


@pytest.mark.parametrize("error", FULL, ids=["torch", "cublas", "driver"])
def test_a_full_gpu_is_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, error)
    done = CliRunner().invoke(main, ["fail"])
    assert done.exit_code == 2
    assert done.output == (
        "bench: the GPU is full; use a larger GPU (--device cuda:N) or --device cpu, or end what else uses it\n"
    )


def test_memory_that_torch_is_refused_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, RuntimeError("[enforce fail at alloc_cpu.cpp:118] data. can't allocate memory: 12 bytes"))
    done = CliRunner().invoke(main, ["fail"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert done.output.startswith("bench: there is too little memory")


def test_any_other_error_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, RuntimeError("a mistake"))
    done = CliRunner().invoke(main, ["fail"])
    assert isinstance(done.exception, RuntimeError)
