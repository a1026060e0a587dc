"""Saved states: read again, by the names of the former layout too, and refused in one line."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bench.core.features import Features
from bench.core.memory import Items
from bench.functional.attention import Block
from bench.learning.incremental_net import Net
from bench.learning.state_io import FORMER, FORMER_FIELDS, flatten, load, save, sealed, to_bytes
from bench.methods.reco import Fusion
from bench.methods.replay import Rehearsed
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
    """Write a saved state again with other names of its classes, and without a checksum, as states once were."""
    with safe_open(path, framework="pt") as file:
        whole = json.loads(file.metadata()["state"])
        del whole["checksum"]
        description = json.dumps(whole)
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


def test_a_field_of_a_former_name_is_read(tmp_path: Path) -> None:
    net = Net.initial(4, 2, hidden=0, device=torch.device("cpu"), rng=Stream(0))
    state = Rehearsed(net, toy.dataset().splits["test"])
    description, tensors = flatten(state)
    fields = description["fields"]
    description["fields"] = {"net": fields["net"], "kept": fields["exemplars"]}
    save_file(tensors, tmp_path / "state.safetensors", metadata={"state": sealed(description, tensors)})
    again = load(tmp_path / "state.safetensors")
    assert again.exemplars.ids.tolist() == state.exemplars.ids.tolist()


def test_every_field_that_had_another_name_is_there() -> None:
    import importlib

    for written_as, names in FORMER_FIELDS.items():
        module, _, name = written_as.partition(":")
        assert set(names.values()) <= set(getattr(importlib.import_module(module), name).__dataclass_fields__)


def written(path: Path, text: str) -> None:
    """Write a file with any description and, if it can have one, the checksum that belongs to it."""
    tensors = {"x": torch.zeros(1)}
    with suppress(TypeError):
        text = sealed(json.loads(text), tensors)
    save_file(tensors, path, metadata={"state": text})


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
    written(path, json.dumps(description))
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


@pytest.mark.parametrize(
    "description",
    [
        {},
        [],
        7,
        None,
        {"class": 5, "fields": {}},
        {"class": "bench.core.memory:Items"},
        {"class": "bench.core.memory:Items", "fields": []},
        {"tensor": "gone"},
        {"tensor": ["x"]},
        {"list": 3},
        {"dict": [[{"list": []}, {"plain": 1}]]},
        {"strings": {"a": 1}},
        {"class": "bench.__main__:main", "fields": {}},
        {"class": "bench..core:Items", "fields": {}},
        {"class": "bench.core.memory:Items", "fields": {"x": {"plain": 1}, "labels": {"plain": 2}}},
        {"list": [{"class": "bench.runner.saved_weights:SavedWeights", "fields": {}}]},
    ],
)
def test_what_is_no_description_of_a_state_is_one_line(tmp_path: Path, description: Any) -> None:
    written(tmp_path / "odd.safetensors", json.dumps(description))
    with pytest.raises(BenchError) as refused:
        load(tmp_path / "odd.safetensors")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"list": ' * 70 + "0" + "}" * 70, "no JSON", '{"plain": 1, "plain": 2}']
)
def test_a_description_without_end_is_one_line(tmp_path: Path, text: str) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "odd.safetensors", metadata={"state": text})
    with pytest.raises(BenchError, match="is not a saved state"):
        load(tmp_path / "odd.safetensors")


def test_the_same_state_is_the_same_bytes() -> None:
    assert len({to_bytes(trained()) for _ in range(20)}) == 1


def test_a_state_that_was_changed_is_refused(tmp_path: Path) -> None:
    path, whole = tmp_path / "weights.safetensors", trained()
    save(whole, path)
    content = path.read_bytes()
    assert load(path).fingerprint == whole.fingerprint
    places = Stream(0).numpy().choice(len(content), 300, replace=False)
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << (int(place) % 8)
        path.write_bytes(damaged)
        with pytest.raises(BenchError) as refused:
            load(path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"half", b"\xff" * 64, b"\x00" * 64])
def test_what_is_no_safetensors_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(BenchError, match="is not a saved state"):
        load(tmp_path / "a.safetensors")


def test_a_pipe_and_a_folder_are_no_states(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").mkdir()
    for name in "ab":
        with pytest.raises(BenchError, match="is not a saved state"):
            load(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize("change", [{"method": 5}, {"seed": "0"}, {"dimension": True}, {"shown": None}, {"params": 1}])
def test_weights_that_are_described_otherwise_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    odd = trained()
    for name, value in change.items():
        object.__setattr__(odd, name, value)
    save(odd, tmp_path / "odd.safetensors")
    with pytest.raises(BenchError, match="save it again"):
        load(tmp_path / "odd.safetensors")
