"""Export of a classifier's scoring as an ONNX model, for methods whose scores are a product and a maximum."""

from __future__ import annotations

import numpy as np
import torch

from bench.classifier.linear_form import LinearForm, linear_form
from bench.classifier.model import Model
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from bench.utils.version import __version__

OPSET, IR = 17, 8
"""Versions of the operators and of the format, both of 2022, which every runtime in use reads."""
TOLERANCE = 1e-4
"""Largest difference of a probability between the exported model and the classifier."""
_TRIED = 256


def onnx_bytes(model: Model) -> bytes:
    """Return an ONNX model: features [n, d] to ``label`` int64 [n], ``probabilities`` and ``scores`` float32 [n, c].

    Class names stand in the metadata ``classes``, one a line; the encoder and its hash in ``encoder``. The model is run
    beside the classifier on random features first.

    Raises
    ------
    BenchError
        If the scores of the method are no product with a matrix, the extra ``onnx`` is missing, or the two differ.
    """
    form = linear_form(model)
    if form is None:
        raise BenchError(
            f"the scores of {model.label} are no product of the feature with a matrix, so there is no ONNX model of "
            "them; those of gda, slda, protonet, linear-probe and zero-shot are"
        )
    content = _built(model, form)
    _compare(model, content)
    return content


def _built(model: Model, form: LinearForm) -> bytes:
    try:
        import onnx
        import onnx.checker
    except ImportError:
        raise _missing("onnx") from None
    helper, array, types = onnx.helper, onnx.numpy_helper.from_array, onnx.TensorProto
    # Minus infinity has no place in a bias that is multiplied and divided; the lowest float never wins either.
    biases = form.biases.clamp(min=float(np.finfo(np.float32).min) / 4).numpy()
    constants = [
        array(form.weights.numpy(), "weights"),
        array(biases, "biases"),
        array(np.array(model.calibration.temperature, dtype=np.float32), "temperature"),
    ]
    nodes = [
        helper.make_node("LpNormalization", ["features"], ["unit"], axis=1, p=2),
        helper.make_node("Gemm", ["unit", "weights", "biases"], ["scores"]),
        helper.make_node("ReduceMax", ["scores"], ["best"], axes=[1], keepdims=1),
        # Below the best, so that a small temperature overflows nothing.
        helper.make_node("Sub", ["scores", "best"], ["below"]),
        helper.make_node("Div", ["below", "temperature"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("features", types.FLOAT, ["n", model.dimension])],
        [
            helper.make_tensor_value_info("label", types.INT64, ["n"]),
            helper.make_tensor_value_info("probabilities", types.FLOAT, ["n", len(model.names)]),
            helper.make_tensor_value_info("scores", types.FLOAT, ["n", len(model.names)]),
        ],
        constants,
    )
    made = helper.make_model(
        graph,
        producer_name="retrieval-bench",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
    )
    helper.set_model_props(made, {"classes": "\n".join(model.names), "encoder": model.reference.space})
    onnx.checker.check_model(made, full_check=True)
    content: bytes = made.SerializeToString()
    return content


def _compare(model: Model, content: bytes) -> None:
    try:
        import onnxruntime
    except ImportError:
        raise _missing("onnxruntime") from None
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    x = torch.randn(_TRIED, model.dimension, generator=Stream(0).child("onnx").torch())
    label, p, _ = session.run(None, {"features": x.numpy()})
    scores = model.scores(x)
    ours = model.probabilities(scores).numpy()
    gap = float(np.abs(p - ours).max())
    # Two columns whose scores differ by rounding alone may change places.
    chosen = np.take_along_axis(ours, label[:, None], axis=1)[:, 0]
    if gap > TOLERANCE or float((ours.max(1) - chosen).max()) > TOLERANCE:
        raise BenchError(
            f"the ONNX model of {model.label} differs from it by {gap:.2g} in a probability, since it computes in "
            "float32; it was not written"
        )


def _missing(name: str) -> BenchError:
    return BenchError(f"{name} is not installed; pip install 'retrieval-bench[onnx]'")
