"""Full float32 inside a block, through torch's older and newer switches, and all as it was afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from bench.device.precision import full_float32, loss_precision
from bench.encoders import load_encoder
from bench.search import top_k

pytestmark = pytest.mark.skipif(
    not hasattr(torch._C, "_set_fp32_precision_setter"), reason="this torch has the older switches alone"
)

SWITCHES = {
    "all": ("generic", "all"),
    "cuda": ("cuda", "all"),
    "cuda products": ("cuda", "matmul"),
    "cuda convolutions": ("cuda", "conv"),
    "cuda recurrences": ("cuda", "rnn"),
    "cpu": ("mkldnn", "all"),
    "cpu products": ("mkldnn", "matmul"),
    "cpu convolutions": ("mkldnn", "conv"),
}


def shown() -> dict[str, str]:
    return {name: torch._C._get_fp32_precision_getter(*switch) for name, switch in SWITCHES.items()}


def older() -> tuple[Any, ...]:
    """Return what the older switches say, or that torch refuses."""
    said = []
    for ask in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            said.append(ask())
        except RuntimeError:
            said.append("refused")
    return tuple(said)


def _reset() -> None:
    """Bring torch's switches to what they allow by default."""
    _set(**dict.fromkeys(SWITCHES, "none"))
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True


def _set(**values: str) -> None:
    for name, value in values.items():
        torch._C._set_fp32_precision_setter(*SWITCHES[name.replace("_", " ")], value)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    _reset()
    yield
    _reset()


SETTINGS = {
    "torch's defaults": lambda: None,
    "older, products": lambda: torch.set_float32_matmul_precision("medium"),
    "older, products allowed by their flag": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "older, no convolutions": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "newer, everything": lambda: _set(all="tf32"),
    "newer, everything in bfloat16": lambda: _set(all="bf16"),
    "newer, products": lambda: _set(cuda_products="tf32"),
    "newer, products of both": lambda: _set(cuda_products="tf32", cpu_products="bf16"),
    "newer, convolutions": lambda: _set(cuda_convolutions="ieee"),
    "newer, one backend": lambda: _set(cuda="tf32", cpu="tf32"),
    "newer, all strict but one": lambda: _set(all="ieee", cuda_products="tf32"),
    "both": lambda: (torch.set_float32_matmul_precision("high"), _set(cuda_products="ieee", cpu="bf16")),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_inside_nothing_computes_in_less_and_afterwards_all_is_as_before(setting: str) -> None:
    SETTINGS[setting]()
    before, said = shown(), older()
    with full_float32():
        inside = shown()
        assert not {"tf32", "bf16"} & {inside[name] for name in inside if " " in name}
        with full_float32():
            assert shown() == inside
    assert (shown(), older()) == (before, said)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_switch_that_had_no_value_of_its_own_still_follows_the_one_above(setting: str) -> None:
    """What would be found by whoever sets the others next: the same with the block as without."""
    for first in ("cuda", "cpu", "all"):
        found = []
        for block in (False, True):
            _reset()
            SETTINGS[setting]()
            if block:
                with full_float32():
                    pass
            _set(**{first: "tf32"})
            found.append(shown())
            _set(**{first: "none"})
            found.append(shown())
        assert found[:2] == found[2:], first


def test_all_is_as_before_after_an_error() -> None:
    torch.set_float32_matmul_precision("medium")
    before = shown()
    with pytest.raises(KeyError), full_float32():
        raise KeyError
    assert (shown(), torch.get_float32_matmul_precision()) == (before, "medium")


def test_the_older_switches_agree_with_the_newer_inside() -> None:
    """Libraries ask them, and torch refuses to answer where they do not."""
    torch.set_float32_matmul_precision("high")
    with full_float32():
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("setting", ["newer, everything", "newer, everything in bfloat16", "both"])
def test_a_search_works_where_the_newer_switches_were_used(setting: str) -> None:
    keys = torch.eye(5)
    SETTINGS[setting]()
    assert top_k(keys, keys, 1).positions.squeeze(1).tolist() == [0, 1, 2, 3, 4]


def test_encoders_compute_without_tensorfloat32(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder("glyphs")
    seen = []
    forward = encoder.model.encode_image

    def watched(*arguments: Any, **more: Any) -> Any:
        seen.append(shown()["cuda convolutions"])
        return forward(*arguments, **more)

    monkeypatch.setattr(encoder.model, "encode_image", watched)
    encoder.encode_images([Image.new("L", (48, 48))])
    assert seen == ["ieee"]


FRESH = """
import torch
from bench.device.precision import full_float32

ask, tell = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter
print(ask("cuda", "conv"), torch.backends.cudnn.allow_tf32)
with full_float32():
    print(ask("cuda", "conv"))
print(ask("cuda", "conv"), torch.backends.cudnn.allow_tf32)
tell("generic", "all", "ieee")
print(ask("cuda", "conv"))
"""


def test_torchs_own_default_is_there_again() -> None:
    """It lets convolutions use TensorFloat-32, and gives way to what is said of everything.

    In a process of its own, since there is no way back to a default.
    """
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:4] == ["tf32 True", "ieee", "tf32 True", "ieee"]


def test_a_torch_without_the_newer_switches_is_told_through_the_older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.device.precision._NEWER", False)
    torch.set_float32_matmul_precision("medium")
    with full_float32():
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "medium"
    assert torch.backends.cudnn.allow_tf32


def test_a_loss_is_computed_in_what_was_asked_for() -> None:
    x, cpu = torch.ones(2, 2), torch.device("cpu")
    with loss_precision(cpu, "fp32"):
        assert (x @ x).dtype == torch.float32
    with loss_precision(cpu, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
