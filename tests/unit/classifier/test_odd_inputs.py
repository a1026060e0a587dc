"""Odd arrays that a classifier is asked about, and folders of strangers that it is written over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import BenchError, Classifier
from bench.data.import_features import Options, import_pack
from bench.utils.errors import Notice
from tests.unit.classifier.clouds import clouds


@pytest.fixture(scope="module")
def made() -> Classifier:
    return Classifier("protonet").fit(*clouds())


@pytest.mark.parametrize("kind", [">f4", ">f8", np.longdouble, np.float64, np.float32])
def test_numbers_of_any_type_are_answered_alike(made: Classifier, kind: str | type) -> None:
    x, y = clouds()
    np.testing.assert_array_equal(made.predict(x.astype(kind)), y)
    np.testing.assert_array_equal(made.predict(np.asfortranarray(x.astype(kind))[::-1]), y[::-1])


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<u4", "<u8", "<i8"])
def test_whole_numbers_of_any_type_are_answered(made: Classifier, kind: str) -> None:
    x = np.abs(clouds()[0] * 10).astype(kind) + np.array(1, dtype=kind)
    np.testing.assert_array_equal(made.predict(x), made.predict(x.astype(np.float64)))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.full((2, 12), 1e300), "row 0 holds a NaN, an infinite value"),
        (np.full((2, 12), "1"), "not real numbers"),
        (np.full((2, 12), None), "not real numbers"),
        (np.full((2, 12), "2020-01-01", dtype="datetime64[D]"), "not real numbers"),
        (np.zeros((2, 12), dtype=[("a", "f4")]), "not real numbers"),
        (np.zeros(()), "no table"),
        (np.zeros((0, 11)), "d = 11"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_table_of_numbers_is_one_line(made: Classifier, x: np.ndarray, said: str) -> None:
    with pytest.raises(BenchError, match=said) as caught:
        made.predict(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["../victim.safetensors", "/victim", "victim.safetensors", "", ".", "a\0b", "2"])
def test_what_a_strangers_manifest_names_is_not_removed(made: Classifier, tmp_path: Path, file: str) -> None:
    named = str(tmp_path / "victim.safetensors") if file == "/victim" else file
    (tmp_path / "c").mkdir()
    for place in (tmp_path, tmp_path / "c"):
        (place / "victim.safetensors").write_text("mine")
    text = named.replace("\0", "\\0")
    (tmp_path / "c" / "classifier.yaml").write_text(f'arrays:\n  file: "{text}"\n')
    made.save(tmp_path / "c")
    assert (tmp_path / "victim.safetensors").read_text() == "mine"
    assert (tmp_path / "c" / "victim.safetensors").read_text() == "mine"
    assert Classifier.load(tmp_path / "c").classes_.tolist() == list("abcd")


def test_a_memory_that_holds_the_queries_does_not_answer_for_them(tmp_path: Path) -> None:
    """A pack as its own memory: every query would be its own nearest neighbour."""
    x, y = clouds(6, spread=4.0)
    names, labels = np.unique(y, return_inverse=True)
    np.savez(tmp_path / "in.npz", train_x=x[::2], train_y=labels[::2], test_x=x[1::2], test_y=labels[1::2])
    (tmp_path / "names.txt").write_text("\n".join(names))
    import_pack([tmp_path / "in.npz"], tmp_path / "names.txt", tmp_path / "pack", Options(name="clouds"))
    with pytest.warns(Notice, match="12 of 12 queries lie in the memory"):
        made = Classifier("knn:k=1", hold_out=0.0).fit(tmp_path / "pack", memory=[tmp_path / "pack"])
    assert "queries" not in made.measured_


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "empty name"),
        (" \ufeff", "empty name"),
        ("a\u202eb", "characters that are no text"),
        ("n\newt", "characters that are no text"),
        ("x" * 2000, "more than"),
        ("A", "differs from 'a' only in case"),
    ],
)
def test_a_new_class_has_a_name_of_text(made: Classifier, name: str, said: str) -> None:
    x, _ = clouds(1)
    before = made.model_
    with pytest.raises(BenchError, match=said) as caught:
        made.add(x[:1], [name], ids=["new"])
    assert "\n" not in str(caught.value)
    assert made.model_ is before


def test_a_class_is_known_by_its_clean_name() -> None:
    made = Classifier("protonet").fit(*clouds())
    x, _ = clouds(1)
    count = len(made.classes_)
    made.add(x[:2], [" a ", "cafe\u0301"], ids=["new", "newer"])
    assert len(made.classes_) == count + 1
    assert made.classes_[-1] == "caf\u00e9"
