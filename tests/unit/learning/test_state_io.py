"""Saved states: read again, by the names of the former layout too, and refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bench.core.features import Features
from bench.core.memory import Items
from bench.functional.attention import Block
from bench.learning.state_io import FORMER, load, save
from bench.methods.reco import Fusion
from bench.runner.saved_weights import SavedWeights
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy


def trained() -> SavedWeights:
    blocks = [Block.initial(4, Stream(n)) for n in (0, 1)]
    shown = toy.dataset().splits["test"].row_digests
    return SavedWeights(
        method="reco", params="{}", dimension=4, space="", seed=3, shown=shown, origin="here", weights=Fusion(*blocks)
    )


def renamed(path: Path, names: dict[str, str]) -> None:
    """Write a saved state again with other names of its classes."""
    with safe_open(path, framework="pt") as file:
        description = file.metadata()["state"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for new, old in names.items():
        assert new in description
        description = description.replace(new, old)
    save_file(tensors, path, metadata={"state": description})


def test_a_state_of_the_former_layout_is_read(tmp_path: Path) -> None:
    path, whole = tmp_path / "weights.safetensors", trained()
    save(whole, path)
    renamed(
        path,
        {
            "bench.runner.saved_weights:SavedWeights": "bench.trained:SavedWeights",
            "bench.methods.reco:Fusion": "methods.reco:Fusion",
            "bench.functional.attention:Block": "bench.attention:Block",
        },
    )
    again = load(path)
    assert isinstance(again, SavedWeights)
    assert isinstance(again.weights, Fusion)
    assert again.fingerprint == whole.fingerprint
    assert again.shown.tolist() == whole.shown.tolist()


def test_every_former_name_leads_to_a_module_that_is_there() -> None:
    import importlib

    for module in FORMER.values():
        assert importlib.import_module(module)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ({"class": "bench.gone:Thing", "fields": {}}, "no state of a registered method"),
        ({"class": "bench.core.memory:Gone", "fields": {}}, "no state of a registered method"),
        ({"class": "bench.core.memory:Items", "fields": {"y": {"plain": 1}}}, "save it again with this version"),
        ({"class": "json:JSONDecoder", "fields": {}}, "no state of a registered method"),
    ],
)
def test_what_is_no_longer_there_is_refused_in_one_line(tmp_path: Path, description: Any, said: str) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"state": json.dumps(description)})
    with pytest.raises(BenchError, match=said) as refused:
        load(path)
    assert "\n" not in str(refused.value)


def test_tensors_have_the_names_they_always_had(tmp_path: Path) -> None:
    features = toy.dataset().splits["test"]
    state = {"items": Items.of_features(features, "web"), "of": (features.x, [None, 1, "b"])}
    save(state, tmp_path / "state.safetensors")
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        assert sorted(file.keys()) == ["state.items.labels", "state.items.x"]
        assert json.loads(file.metadata()["state"])["dict"][1][1]["tuple"][0] == {"tensor": "state.items.x"}
    again = load(tmp_path / "state.safetensors")
    assert isinstance(again["items"], Items)
    assert torch.equal(again["of"][0], features.x)
    assert again["of"][1] == [None, 1, "b"]
    assert not isinstance(again["items"], Features)
