"""Randomness, features, memory edits, tasks, parameters, registry, settings, states and files."""

from __future__ import annotations

import dataclasses
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from annotated_types import Ge, Le

from bench.core.features import Features
from bench.core.registry import METHODS, Registry
from bench.core.state_bytes import nbytes
from bench.cost.meter import Meter
from bench.learning import state_io as states
from bench.runner.answers import _answer
from bench.runner.config import RunConfig
from bench.runner.options import parse_assignments, parse_seeds
from bench.runner.recipes import choose_recipes
from bench.utils.atomic import sweep, write_atomically
from bench.utils.errors import BenchError
from bench.utils.params import convert
from bench.utils.random import Stream, labelled_key
from bench.utils.registry import Kind
from tests import toy

# -- randomness --------------------------------------------------------------------------------------------------


def test_a_stream_is_moved_by_nothing_but_its_seed_and_purpose() -> None:
    first = Stream(3).child("shots", 7).numpy().random(5)
    np.random.default_rng().random(100)
    Stream(3).child("noise").numpy().random(100)
    torch.rand(5)
    assert (Stream(3).child("shots", 7).numpy().random(5) == first).all()
    assert (Stream(3).child("shots").child(7).numpy().random(5) == first).all()


def test_streams_of_other_seeds_and_purposes_differ() -> None:
    streams = [Stream(0), Stream(1), Stream(0).child("a"), Stream(0).child("a", "b"), Stream(0).child("ab"),
               Stream(0).child(1), Stream(0).child("1")]  # fmt: skip
    draws = {tuple(s.numpy().integers(0, 1 << 30, 4).tolist()) for s in streams}
    assert len(draws) == len(streams)
    assert len({float(torch.rand(1, generator=s.torch())) for s in streams}) == len(streams)


# -- features and memory -----------------------------------------------------------------------------------------


def test_fingerprints_follow_content_not_layout() -> None:
    data = toy.dataset().splits["train"]
    same = Features(data.x.clone().t().contiguous().t(), data.labels.clone(), data.ids.copy(), data.class_names)
    assert same.fingerprint == data.fingerprint
    other = data.x.clone()
    other[0, 0] += 1e-3
    assert dataclasses.replace(data, x=other).fingerprint != data.fingerprint
    assert data.take([1, 0]).fingerprint != data.take([0, 1]).fingerprint


def test_rows_that_are_taken_keep_their_digests() -> None:
    whole = dataclasses.replace(toy.dataset().splits["test"])
    rows = [3, 0, 4]
    alone = whole.take(rows).row_digests.tolist()
    assert whole.row_digests[rows].tolist() == alone
    taken = whole.take(rows)
    assert taken.row_digests.tolist() == alone
    assert dataclasses.replace(taken, x=taken.x + 1).row_digests.tolist() != alone


@pytest.mark.parametrize(("value", "words"), [(float("nan"), "NaN"), (0.0, "zero vector"), (1e-14, "zero vector")])
def test_broken_vectors_are_named_by_row(value: float, words: str) -> None:
    data = toy.dataset().splits["train"]
    x = data.x.clone()
    x[4] = value
    with pytest.raises(BenchError, match=rf"row 4 \(train/4\).*{words}"):
        dataclasses.replace(data, x=x).check("split train")


def test_labels_beyond_the_class_names_are_refused() -> None:
    data = toy.dataset().splits["train"]
    with pytest.raises(BenchError, match="labels run from 0 to 9 but there are 4 class names"):
        dataclasses.replace(data, class_names=data.class_names[:4]).check("split train")


def test_edits_return_new_memories_and_undo_exactly() -> None:
    memory = toy.dataset().memory
    before = memory.fingerprint
    some = memory.images.take([0, 5])
    smaller = memory.remove(ids=some.ids.tolist())
    assert memory.fingerprint == before
    assert len(smaller.images) == len(memory.images) - 2
    order = np.argsort(np.concatenate([smaller.images.ids, some.ids]), kind="stable")
    again = smaller.add(images=some)
    same = memory.images.take(np.argsort(memory.images.ids, kind="stable"))
    assert again.images.take(order).fingerprint == same.fingerprint


def test_remove_by_class_and_by_source() -> None:
    memory = toy.dataset().memory
    without_class = memory.remove(classes=[3])
    assert 3 not in without_class.images.labels.tolist() + without_class.texts.labels.tolist()
    without_source = memory.remove(sources=["web-a"])
    assert set(without_source.images.sources.tolist()) == {"web-b"}
    assert without_source.texts.fingerprint == memory.texts.fingerprint


@pytest.mark.parametrize("edit", [{"ids": ["nobody"]}, {"classes": [99]}, {"sources": ["nowhere"]}])
def test_an_edit_of_something_unknown_is_refused(edit: dict[str, Any]) -> None:
    with pytest.raises(BenchError, match="holds no"):
        toy.dataset().memory.remove(**edit)


def test_an_id_can_be_added_only_once() -> None:
    memory = toy.dataset().memory
    with pytest.raises(BenchError, match="is there already"):
        memory.add(images=memory.images.take([0]))


def test_restrict_keeps_the_items_of_some_keywords() -> None:
    small = toy.dataset().memory.restrict([2, 4])
    assert set(small.images.labels.tolist()) == {2, 4}
    assert small.branches == "image+text"
    assert toy.dataset(texts=False).memory.branches == "image"


def test_class_ids_become_columns_in_the_order_of_the_task() -> None:
    task = toy.task((7, 3, 9))
    assert task.columns(torch.tensor([3, 9, 7, 7])).tolist() == [1, 2, 0, 0]
    with pytest.raises(BenchError, match="class 5 is not among"):
        task.columns(torch.tensor([5]))
    with pytest.raises(BenchError, match="class 50 is not among"):
        task.columns(torch.tensor([50]))


def test_one_class_is_no_task() -> None:
    with pytest.raises(BenchError, match="at least two classes"):
        toy.task((3,))


def test_a_data_set_of_mixed_dimensions_is_refused() -> None:
    data = toy.dataset()
    narrow = dataclasses.replace(data.splits["val"], x=data.splits["val"].x[:, :8])
    with pytest.raises(BenchError, match="mixes dimensions"):
        dataclasses.replace(data, splits={**data.splits, "val": narrow}).check()


# -- parameters, registry, settings ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Recipe:
    k: Annotated[int, Ge(1)] = 3
    rate: Annotated[float, Ge(0), Le(1)] = 0.5
    vote: Literal["a", "b"] = "a"
    flag: bool = False
    limit: int | None = None
    rates: tuple[float, ...] = (0.1,)
    weights: Any = dataclasses.field(default=None, metadata={"param": False})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("k", 4, 4), ("rate", "1e-6", 1e-6), ("flag", "false", False), ("limit", None, None), ("limit", "7", 7),
     ("rates", [0.1, 0.2], (0.1, 0.2)), ("vote", "b", "b")],
)  # fmt: skip
def test_parameters_are_converted_by_their_type(name: str, text: Any, value: Any) -> None:
    assert convert(Recipe, "recipe", name, text) == value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("k", 0, "greater than or equal to 1"), ("k", 2.5, "integer"), ("rate", 1.5, "less than or equal to 1"),
     ("vote", "c", "'a' or 'b'"), ("flag", "perhaps", "boolean"), ("rat", 1, "did you mean 'rate'"),
     ("weights", 1, "no parameter")],
)  # fmt: skip
def test_bad_parameters_are_refused_with_a_reason(name: str, value: Any, words: str) -> None:
    with pytest.raises(BenchError, match=words):
        convert(Recipe, "recipe", name, value)


def test_two_methods_of_one_name_are_refused_and_both_named() -> None:
    registry = Registry(Kind("method", "method", "methods", "no.such.group"))
    registry.add("twin", Recipe)
    registry.add("twin", Recipe)
    with pytest.raises(BenchError, match=r"test_core\.Recipe and .*\.Path; rename"):
        registry.add("twin", Path)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BenchError, match="unknown method 'protnet'; did you mean 'protonet'"):
        METHODS.get("protnet")


def test_seeds_are_a_count_or_a_list() -> None:
    assert parse_seeds("3") == (0, 1, 2)
    assert parse_seeds("0,3,7") == (0, 3, 7)
    assert parse_seeds("7,") == (7,)
    assert parse_seeds(" 7, 8, ") == (7, 8)
    assert parse_seeds([4, 2]) == (4, 2)
    for bad in ("x", "0", "-1,2", "1,1", "1.5", 1.5, True, [0, 1.5], [0, True], {}):
        with pytest.raises(BenchError, match="write 5 or 0,3,7"):
            parse_seeds(bad)  # type: ignore[arg-type]


def test_a_settings_file_that_holds_no_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    for content, words in ((b"\xff\xfe\x00", "is not UTF-8"), (b"set: foo", "'set' must hold parameters by name")):
        path.write_bytes(content)
        with pytest.raises(BenchError, match=words):
            RunConfig.merged(path, {})


def test_a_value_of_none_of_several_types_is_told_all_of_them() -> None:
    with pytest.raises(BenchError, match=r"open-set.unknown='some': input should be a valid number.*, or 'declared'$"):
        choose_recipes(["open-set"], ["knn"], {"open-set.unknown": "some"})


def test_an_item_out_of_range_in_a_list_is_one_reason() -> None:
    with pytest.raises(BenchError, match=r"long-tail.ratios=\[0.5\]: input should be greater than or equal to 1$"):
        choose_recipes(["long-tail"], ["knn"], {"long-tail.ratios": [0.5]})


def test_a_number_for_a_list_is_answered_with_the_list() -> None:
    with pytest.raises(BenchError, match=r"label-noise.rates=0.1: it takes a list; write \[0.1\]"):
        choose_recipes(["label-noise"], ["knn"], {"label-noise.rates": 0.1})


def test_a_list_of_values_is_a_sweep_and_labels_tell_them_apart() -> None:
    _, methods = choose_recipes(["incremental"], ["knn", "knn:k=7"], {"knn.vote": ["majority", "temperature"]})
    assert [m.label for m in methods] == [
        "knn(vote=majority)", "knn(vote=temperature)", "knn(k=7,vote=majority)", "knn(k=7,vote=temperature)",
    ]  # fmt: skip
    assert methods[2].recipe.k == 7


def test_a_sweep_over_no_value_is_refused() -> None:
    with pytest.raises(BenchError, match=r"knn\.k=\[\]"):
        choose_recipes(["incremental"], ["knn"], {"knn.k": []})


def test_variants_have_their_parameters_preset() -> None:
    _, methods = choose_recipes(["incremental"], ["mml-no-knn"], {})
    assert methods[0].recipe.integration == "self"


def test_what_is_set_for_a_method_holds_for_its_variants_but_not_for_their_presets() -> None:
    _, methods = choose_recipes(
        ["incremental"], ["mml", "mml-no-knn"], {"mml.k": 3, "mml.integration": "mean", "mml-no-knn.lr": 0.5}
    )
    assert [m.recipe.k for m in methods] == [3, 3]
    assert [m.recipe.integration for m in methods] == ["mean", "self"]
    assert methods[0].recipe.lr != methods[1].recipe.lr == 0.5


@pytest.mark.parametrize(
    ("assignments", "words"),
    [({"knn.kk": 3}, "knn has no parameter 'kk'; did you mean 'k'"), ({"mml.k": 3}, "'mml' takes no part in this run"),
     ({"incremental.base": -1}, "greater than or equal to 0")],
)  # fmt: skip
def test_assignments_that_reach_nothing_are_refused(assignments: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        choose_recipes(["incremental"], ["knn"], assignments)


def test_assignments_are_read_as_yaml() -> None:
    assert parse_assignments(["knn.k=16", "a.b=[1, 2]", "a.c=x=y"]) == {"knn.k": 16, "a.b": [1, 2], "a.c": "x=y"}
    with pytest.raises(BenchError, match=r"knn\.k=16"):
        parse_assignments(["knn"])


def test_a_configuration_may_be_nested_and_refuses_unknown_settings(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("scenario: incremental\nset: {knn: {k: 3}, incremental.base: 2}\n")
    assert RunConfig.merged(path, {}).set == {"knn.k": 3, "incremental.base": 2}
    path.write_text("scenaro: incremental\n")
    with pytest.raises(BenchError, match="did you mean 'scenario'"):
        RunConfig.merged(path, {})


# -- states and files --------------------------------------------------------------------------------------------


def test_a_tensor_that_a_state_holds_twice_weighs_once() -> None:
    x = torch.zeros(10, 4)
    assert nbytes({"a": x, "b": [x, torch.zeros(2, dtype=torch.int64)]}) == 160 + 16


def test_loading_makes_only_dataclasses_of_the_project(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "evil.safetensors"
    tensors = {"x": torch.zeros(1)}
    save_file(tensors, path, metadata={"state": states.sealed({"class": "os:system", "fields": {}}, tensors)})
    with pytest.raises(BenchError, match="no state of a registered method"):
        states.load(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(BenchError, match="is not a saved state"):
        states.load(path)


def test_an_unwritable_place_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot write"):
        write_atomically(tmp_path / "file" / "below.txt", "x")
    if os.geteuid() != 0:
        tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
        with pytest.raises(BenchError, match="choose a folder you may write to"):
            write_atomically(tmp_path / "new.txt", "x")


def test_half_written_files_of_dead_processes_are_swept(tmp_path: Path) -> None:
    dead, mine = tmp_path / ".a.parquet.999999999.tmp", tmp_path / f".b.parquet.{os.getpid()}.tmp"
    dead.write_text("")
    mine.write_text("")
    sweep(tmp_path)
    assert not dead.exists()
    assert mine.exists()


def test_a_second_is_counted_in_one_phase_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.cost import meter

    now = 0.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(meter, "_now", lambda: now)
    # What the meter takes for itself is in no phase.
    monkeypatch.setattr(meter.peak_memory, "cpu_peak", lambda: wait(100.0))
    m = Meter()
    with m.phase("build"):
        wait(1.0)
        with m.phase("retrieve"):
            wait(3.0)
        wait(6.0)
    assert m.seconds == {"retrieve": 3.0, "build": 7.0}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_confidences_are_softmax_probabilities_however_large_the_scores(dtype: torch.dtype) -> None:
    task = toy.task((7, 3, 9))
    queries = toy.dataset().splits["test"].of_classes(task.classes)
    near = torch.rand(len(queries), 3, generator=Stream(0).torch(), dtype=torch.float64)
    scores = (near + (1000 if dtype == torch.float16 else 40000)).to(dtype)
    found = _answer(scores, task.columns(queries.labels), 1.0)[2]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, scores.double().softmax(1).max(1).values.float())
    assert float(found.max()) <= 1


# -- keys of draws -------------------------------------------------------------------------------------------------


def test_keys_of_both_derivations_are_what_they_were() -> None:
    """The glyphs and their encoder's weights depend on every bit, and every record on the draws of its seed."""
    purposes: list[tuple[str | int, ...]] = [
        (word, number)[: 1 + number % 2] for number, word in enumerate(["shots", "classes", "draw", "ü", ""] * 4)
    ]
    streams = [Stream(n).child(*purpose).key().hex()[:16] for n, purpose in enumerate(purposes)]
    labelled = [labelled_key(n, *purpose).hex()[:16] for n, purpose in enumerate(purposes)]
    assert streams == STREAM_KEYS
    assert labelled == LABELLED_KEYS
    assert Stream(0).child("shots").marks(["a", "test/12", "ü"]).tolist() == MARKS


STREAM_KEYS = [
    "5f45599380407ad9", "484f6114c9efd1f9", "d197c937dcf01ad7", "5ef0da867efa4318", "8e54515312ce3a3b",
    "413943b21777d08a", "ab82ae6a3cc9fecd", "1e7033815c400d13", "07324315ef16bea5", "deed33f1a80b7e79",
    "b423075cb05454f9", "cdd1ec21778f97b8", "b61638ef6c437203", "413d406ac50e25dc", "b7ba06a90a2902b9",
    "12a9261fe2b8ac6c", "b3afe6fe215bc910", "30bdf0dbb0c04c67", "b13cb96fa79906ca", "69694d529c568310",
]  # fmt: skip
LABELLED_KEYS = [
    "aa5c5b9420ecd748", "2e936f2eb5247ee8", "13e102c7d47fb81f", "6566beff8e145282", "b06669daf222107a",
    "b8c39a83069d571e", "0e147ecfc56eee52", "0e982774bd9add35", "13cd7a9bc62c44e3", "ef48279b149126b6",
    "2a028f5f62c9b5bb", "f6129a5375399d9c", "4df8880efb72e991", "a5c55ee99ef03e40", "e0bd880f150e2a12",
    "100224f35ea08bb2", "8799928e3f3c721e", "1942141e25bc2004", "8cead0fd48f68434", "0f922d69ee9256b8",
]  # fmt: skip
MARKS = [8734441287483781304, 15908958458115617129, 13474761629263646689]
