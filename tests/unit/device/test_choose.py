"""Where to compute: what is said where there is no such device, and what a run on a GPU is given."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bench.cli import listing_registered
from bench.cli.main import main
from bench.device import gpus
from bench.device.choose import choose_device
from bench.device.determinism import deterministic, is_lack, ready_cublas
from bench.device.exactness import conscientiously
from bench.explain.explain import explain
from bench.utils.errors import BenchError, Notice

GIB = 1 << 30
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
OLD_DRIVER = (
    "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx "
    "(Triggered internally at /pytorch/c10/cuda/CUDAFunctions.cpp:119.)"
)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Take back what a run sets for the whole process."""
    before = os.environ.get(WORKSPACE)
    yield
    os.environ.pop(WORKSPACE, None)
    if before is not None:
        os.environ[WORKSPACE] = before


def cards(monkeypatch: pytest.MonkeyPatch, *gibibytes: int, says: str = "", cuda: str | None = "13.2") -> list[int]:
    """Let torch see cards of some sizes, or none and a warning why; return the list of those that were made current."""
    current: list[int] = []

    def available() -> bool:
        if says:
            warnings.warn(says, stacklevel=2)
        return bool(gibibytes)

    def properties(n: int) -> Any:
        return SimpleNamespace(name=f"Card {n}", total_memory=gibibytes[n] * GIB)

    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gibibytes))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


def refused(wanted: str) -> str:
    with pytest.raises(BenchError) as caught:
        choose_device(wanted)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    assert "torch sees no CUDA device" in refused("cuda")
    assert refused("cuda:1").endswith("or use --device cpu")
    assert WORKSPACE not in os.environ


def test_a_torch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, cuda=None)
    assert choose_device("auto") == "cpu"
    assert "this torch was built without CUDA; install one that has it" in refused("cuda")


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, says=OLD_DRIVER)
    message = refused("cuda")
    assert "the NVIDIA driver (for CUDA 11.4) is too old for this torch, which is built for CUDA 13.2" in message
    assert "update the driver" in message
    # Torch's own warning is not said as well.
    with pytest.warns(Notice, match=r"^computing on the CPU: the NVIDIA driver .* is too old") as said:
        assert choose_device("auto") == "cpu"
    assert len(said) == 1


def test_cuda_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, says="CUDA initialization: Unexpected error. (Triggered internally at x.cpp:1.)")
    assert "torch cannot start CUDA (CUDA initialization: Unexpected error); mend that" in refused("cuda")


def test_a_card_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 80, 80)
    assert refused("cuda:7") == "--device cuda:7, but torch sees 2 CUDA devices; write cuda:0 to cuda:1, or cuda"
    cards(monkeypatch, 80)
    assert refused("cuda:1") == "--device cuda:1, but torch sees 1 CUDA device; write cuda:0, or cuda"


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "mps", "", "CUDA", "cuda:-1"])
def test_a_name_of_no_device(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    cards(monkeypatch, 80)
    assert refused(wanted) == f"unknown device {wanted!r}; write auto, cpu, cuda or cuda:N"


@pytest.mark.filterwarnings("error")
def test_a_card_becomes_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    current = cards(monkeypatch, 80, 80)
    assert choose_device("cuda:1") == "cuda:1"
    assert current == [1]
    assert choose_device("auto") == choose_device("cuda") == "cuda"


def test_cards_of_different_size_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 24, 80)
    with pytest.warns(Notice, match=r"^computing on cuda:0 \(Card 0, 24 GiB\), and cuda:1 is larger") as said:
        assert choose_device("auto") == "cuda"
    assert "choose with --device cuda:1" in str(said[0].message)
    assert "\n" not in str(said[0].message)


def test_the_command_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 24, 80)
    done = CliRunner().invoke(main, ["run", "--device", "cuda:7", "--data", "digits"])
    assert done.exit_code == 2
    assert done.stderr == "bench: --device cuda:7, but torch sees 2 CUDA devices; write cuda:0 to cuda:1, or cuda\n"


def test_a_notice_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_registered, "methods", lambda: warnings.warn(Notice("look here"), stacklevel=1) or [])
    done = CliRunner().invoke(main, ["list", "methods"])
    assert done.stderr == "warning: look here\n"


def test_workers_share_a_card_that_was_named_and_take_others_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 80, 80)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = [gpus.share("cuda", n)["CUDA_VISIBLE_DEVICES"] for n in range(3)]
    assert seen == ["0", "1", "0"]
    assert gpus.share("cuda:1", 0) == gpus.share("cpu", 0) == {}


def test_cublas_is_made_repeatable_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 80)
    monkeypatch.delenv(WORKSPACE, raising=False)
    choose_device("cuda")
    assert os.environ[WORKSPACE] == ":4096:8"


def test_a_workspace_that_the_user_gave_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, ":16:8")
    ready_cublas()
    assert os.environ[WORKSPACE] == ":16:8"
    monkeypatch.setenv(WORKSPACE, ":4096:2:16:8")
    with pytest.raises(BenchError, match="unset it, or set it to :4096:8"):
        ready_cublas()
    assert os.environ[WORKSPACE] == ":4096:2:16:8"


def flags() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.fixture
def _off() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_off")
@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)])
def test_kernels_are_deterministic_inside_and_the_flags_as_before_afterwards(before: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    with deterministic("cuda:1"):
        assert flags() == (True, False)
    assert flags() == before
    with deterministic("cuda", strict=False):
        assert flags() == (True, True)
    assert flags() == before
    with deterministic("cpu"):
        assert flags() == before


@pytest.mark.usefixtures("_off")
def test_what_has_no_deterministic_kernel_is_done_once_more_and_told() -> None:
    tried = []

    def compute() -> str:
        tried.append(flags())
        if flags() == (True, False):
            raise RuntimeError("put_ does not have a deterministic implementation, but you set ...")
        return "done"

    assert conscientiously("cuda", compute) == ("done", False)
    assert tried == [(True, False), (True, True)]
    assert conscientiously("cpu", compute) == ("done", True)
    assert flags() == (False, False)


def test_other_errors_are_not_tried_again() -> None:
    tried = []

    def compute() -> None:
        tried.append(1)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        conscientiously("cuda", compute)
    assert tried == [1]
    assert not is_lack(ValueError("does not have a deterministic implementation"))


def test_an_explanation_takes_a_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cards(monkeypatch)
    done = CliRunner().invoke(main, ["explain", str(tmp_path), "--query", "q", "--device", "cuda"])
    assert done.exit_code == 2
    asked = []
    monkeypatch.setattr(
        "bench.explain.explain.choose_device", lambda wanted: asked.append(wanted) or choose_device(wanted)
    )
    with pytest.raises(BenchError, match="torch sees no CUDA device"):
        explain(tmp_path, "q", device="cuda")
    assert asked == ["cuda"]
