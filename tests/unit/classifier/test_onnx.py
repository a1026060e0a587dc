"""The exported scoring answers as the classifier does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import BenchError, Classifier
from bench.classifier.linear_form import linear_form
from bench.core.registry import METHODS
from tests import toy

PRODUCTS = {"gda", "linear-probe", "protonet", "simplecil", "slda", "zero-shot"}


@pytest.mark.parametrize("name", sorted(PRODUCTS))
def test_it_answers_the_same(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    data = toy.dataset()
    made = Classifier(name).fit(data)
    made.save(tmp_path / "c", onnx=True)
    session = runtime.InferenceSession(tmp_path / "c" / "model.onnx", providers=["CPUExecutionProvider"])
    x = data.splits["test"].x.numpy() * 3
    label, p, scores = session.run(None, {"features": x})
    names = session.get_modelmeta().custom_metadata_map["classes"].split("\n")
    assert np.array(names)[label].tolist() == made.predict(x).tolist()
    np.testing.assert_allclose(p, made.predict_proba(x), atol=1e-4)
    np.testing.assert_allclose(scores, made.decision_function(x), rtol=1e-3, atol=1e-3)
    made.save(tmp_path / "c")
    assert not (tmp_path / "c" / "model.onnx").exists(), "it would be that of another classifier"


def test_a_class_that_is_never_the_answer_stays_so() -> None:
    runtime = pytest.importorskip("onnxruntime")
    data = toy.dataset()
    made = Classifier("protonet", hold_out=0).fit(data)
    made.remove(made._model_.task.support.ids[made._model_.task.support.labels == 2].tolist())
    session = runtime.InferenceSession(made.to_onnx(), providers=["CPUExecutionProvider"])
    label, p, _ = session.run(None, {"features": data.splits["test"].x.numpy()})
    assert 2 not in label
    assert float(p[:, 2].max()) == 0


def test_what_is_no_product_has_none(tmp_path: Path) -> None:
    data = toy.dataset()
    made = Classifier("knn:k=3").fit(data)
    assert linear_form(made._model_) is None
    with pytest.raises(BenchError, match="no product"):
        made.save(tmp_path / "c", onnx=True)
    assert not (tmp_path / "c").exists(), "nothing is half-written"
    assert set(METHODS.names()) >= PRODUCTS
