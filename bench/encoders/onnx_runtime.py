"""The image tower of an encoder in ONNX Runtime, which is quicker on processors: ``ENCODER:runtime=onnx``.

The tower is exported from torch once, kept in the cache, and compared with torch whenever it is loaded. Texts stay with
torch. Its features are those of another order of summation, so that the space says which runtime made them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from bench.cache import TOWERS, cache_root
from bench.encoders.encoder import RUNTIME_SUFFIX, Encoder
from bench.encoders.projection import before_projection
from bench.utils.atomic import making_folder
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import digest
from bench.utils.random import Stream

COSINE = 0.9999
"""Least cosine of a feature to torch's, of what the exported tower is tried on. It is 0.999999 where all goes well."""

_FILE = "images.onnx"
_TRIED = 3
"""Images of the comparison, more than one so that the number of images is seen to vary."""
_SOFTWARE = ("onnxruntime", "onnxscript")
"""What shapes the exported tower beside torch."""


class _Images(nn.Module):
    """An encoder's image tower as a module of one input, without the normalisation."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.model, self.projected = encoder.model, encoder.projected
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        if not self.projected:
            return before_projection(self.model, "image", x)
        model: Any = self.model
        features: Tensor = model.encode_image(x, normalize=False)
        return features


@dataclass(frozen=True, eq=False)
class OnnxTower:
    """Images, float32 [n, 3, h, w], to unit-norm features [n, d], by ONNX Runtime on the processors."""

    session: Any

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features."""
        given = {self.session.get_inputs()[0].name: x.contiguous().numpy()}
        (found,) = self.session.run(None, given)
        return nn.functional.normalize(torch.from_numpy(found), dim=-1)


def with_onnx_runtime(encoder: Encoder) -> Encoder:
    """Return an encoder whose images ONNX Runtime encodes; its texts, its weights and its transform are the same.

    Raises
    ------
    BenchError
        Without the extra ``onnx``; for another device than the processors or another precision than fp32; for a model
        that cannot be exported, or whose exported form gives other features than torch.
    """
    if encoder.device.type != "cpu":
        raise BenchError(
            f"{encoder.name}{RUNTIME_SUFFIX} is for processors; add --device cpu, or leave {RUNTIME_SUFFIX} out"
        )
    if encoder.precision != "fp32":
        raise BenchError(
            f"ONNX Runtime encodes in fp32 here; leave --precision {encoder.precision} or {RUNTIME_SUFFIX} out"
        )
    return replace(
        encoder,
        name=encoder.name + RUNTIME_SUFFIX,
        images=_tower(encoder),
        software=(*encoder.software, *_SOFTWARE),
    )


def _tower(encoder: Encoder) -> OnnxTower:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401 - torch exports with it
    except ImportError as error:
        raise BenchError(
            f"{encoder.name}{RUNTIME_SUFFIX} needs {error.name}; `pip install 'retrieval-bench[onnx]'`, or leave "
            f"{RUNTIME_SUFFIX} out"
        ) from None
    file = cache_root() / TOWERS / _name(encoder) / _FILE
    try:
        tower = _opened(file)
        if not _unlike(encoder, tower):
            os.utime(file)
            return tower
    except Exception:  # there is none, or it is damaged: it is made anew
        pass
    shutil.rmtree(file.parent, ignore_errors=True)
    try:
        with making_folder(file.parent) as folder:
            _export(encoder, folder / _FILE)
    except BenchError:
        if not file.is_file():  # another process may have been quicker
            raise
    except Exception as error:  # the exporter raises many kinds
        raise BenchError(
            f"{encoder.name} cannot be exported to ONNX ({one_line(error)[:160]}); leave {RUNTIME_SUFFIX} out"
        ) from None
    try:
        tower = _opened(file)
        unlike = _unlike(encoder, tower)
    except Exception as error:  # what the runtime raises for operators it lacks
        unlike = f"cannot be run ({one_line(error)[:160]})"
    if unlike:
        shutil.rmtree(file.parent, ignore_errors=True)
        raise BenchError(f"{encoder.name} in ONNX Runtime {unlike}; leave {RUNTIME_SUFFIX} out")
    return tower


def _opened(file: Path) -> OnnxTower:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait without sleeping would take the processors from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return OnnxTower(onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]))


def _name(encoder: Encoder) -> str:
    """Return the name of the folder of an exported tower: all that shapes the features, and what exports."""
    shape = list(encoder.transform(Image.new("RGB", (64, 64))).shape)
    made_with = {name: version(name) for name in _SOFTWARE}
    readable = re.sub(r"[^\w.-]+", "-", encoder.name.rpartition("/")[2])[:60]
    return f"{readable}-{digest(encoder.space, shape, made_with)[:16]}"


def _export(encoder: Encoder, file: Path) -> None:
    pixels = encoder.transform(Image.new("RGB", (64, 64)))
    with _quietly(), torch.no_grad():
        program: Any = torch.onnx.export(
            _Images(encoder),
            (torch.stack([pixels] * 2),),
            dynamo=True,
            dynamic_shapes={"x": {0: torch.export.Dim.DYNAMIC}},
            verbose=False,
        )
        program.save(file, external_data=True)


def _unlike(encoder: Encoder, tower: OnnxTower) -> str:
    """Return how an exported tower differs from torch; empty if it does not."""
    shape = encoder.transform(Image.new("RGB", (64, 64))).shape
    x = torch.randn(_TRIED, *shape, generator=Stream(0).child("onnx").torch())
    cosine = float((tower(x) * encoder.encode_pixels(x)).sum(1).min())
    if cosine >= COSINE:
        return ""
    return f"gives features with a cosine of {cosine:.4f} to torch's, less than {COSINE}"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the exporter reports of its steps out of the output."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
