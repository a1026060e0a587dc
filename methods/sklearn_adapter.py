"""Any scikit-learn classifier, by import path."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY
from bench.core.task import Task
from bench.cost.meter import charge_flops
from bench.functional.classwise import class_counts, normalise
from bench.utils.errors import BenchError, Unsuitable, suggest
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Fitted:
    """An estimator as plain values: what it is, and what it is fitted on.

    Fitting is deterministic, so a loaded state fits itself again and no object of the library is ever stored.

    Attributes
    ----------
    estimator : str
        Import path.
    options : dict
        Its parameters, ``random_state`` included where it takes one.
    x : float32 Tensor [n, d]
        Unit norm.
    columns : int64 Tensor [n]
    n_classes : int
    """

    estimator: str
    options: dict[str, Any]
    x: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)
    n_classes: int

    @cached_property
    def model(self) -> Any:
        """The fitted estimator."""
        try:
            return _find(self.estimator)(**self.options).fit(self.x.cpu().numpy(), self.columns.cpu().numpy())
        except TypeError as error:  # which scikit-learn's own for a parameter out of range is, too
            raise BenchError(f"{self.estimator} cannot be fitted: {_said(error)}; change its parameters") from None
        except ValueError as error:
            raise Unsuitable(f"{self.estimator} cannot be fitted to these images: {_said(error)}") from None


@method(
    "sklearn",
    paper="Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011",
    equation="the estimator's own, on unit-norm features",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class Sklearn:
    """Score with a scikit-learn classifier: ``sklearn:sklearn.svm.LinearSVC:C=0.5`` on the command line.

    Scores are the estimator's decision function, its log-probabilities, or a one for the predicted class, whichever
    of these it has first and can give (``NearestCentroid`` has no decision function for one image a class). The class
    it predicts is given the largest score where its own scores say otherwise (the votes of an ``SVC``, for one). Any
    class with ``fit`` and ``predict`` that can be imported will do. One that cannot be fitted to the images of a task,
    or cannot answer from them (more neighbours are asked for than there are images), is skipped there.

    Attributes
    ----------
    estimator : str
        Import path of the class.
    options : mapping
        Its parameters. ``random_state`` is derived from the seed unless it is given.
    """

    estimator: str = "sklearn.neighbors.NearestCentroid"
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, task: Task, *, rng: Stream) -> Fitted:
        """Return the fitted estimator."""
        options = dict(self.options)
        known = inspect.signature(_find(self.estimator)).parameters
        for name in options:
            if name not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
                raise BenchError(f"{self.estimator} has no parameter {name!r}{suggest(name, known)}")
        if "random_state" in known and "random_state" not in options:
            options["random_state"] = int(rng.child("random_state").numpy().integers(2**31))
        items = task.labelled
        state = Fitted(self.estimator, options, normalise(items.x), task.columns(items.labels), task.n_classes)
        _ = state.model  # fits here, where the time is counted as building
        charge_flops(None)
        return state

    def score(self, state: Fitted, queries: Tensor) -> Tensor:
        """Return scores [q, c]; a class without images gets minus infinity."""
        charge_flops(None)
        model, x = state.model, normalise(queries).cpu().numpy()
        present = np.asarray(model.classes_ if hasattr(model, "classes_") else np.unique(state.columns.cpu().numpy()))
        try:
            predicted = np.asarray(model.predict(x))[:, None] == present[None, :]
        except ValueError as error:
            raise Unsuitable(f"{state.estimator} cannot answer: {_said(error)}") from None
        if not predicted.any(1).all():
            raise BenchError(f"{state.estimator} answers with what is no class; name a classifier")
        found = _own_scores(model, x)
        if found is None or found.shape[1] != len(present):
            found = predicted.astype(np.float64)
        top = np.broadcast_to(found.max(1, keepdims=True), found.shape)
        found = np.where(predicted & (found < top), np.nextafter(top, np.inf), found).astype(np.float64)
        scores = torch.full((len(queries), state.n_classes), -torch.inf, dtype=torch.float64)
        scores[:, torch.from_numpy(present.astype(np.int64))] = torch.from_numpy(found)
        absent = class_counts(state.columns, state.n_classes) == 0
        return scores.to(queries.device).masked_fill(absent, -torch.inf)

    def describe(self, state: Fitted) -> dict[str, Any]:
        """Return the estimator and its parameters."""
        return {"estimator": state.estimator, **{f"option_{k}": str(v) for k, v in state.options.items()}}


def _own_scores(model: Any, x: np.ndarray) -> np.ndarray | None:
    """Return decision function or log-probabilities, float64 [q, classes]; None where the estimator gives neither."""
    try:
        if hasattr(model, "decision_function"):
            found = np.asarray(model.decision_function(x), dtype=np.float64)
            return np.stack([-found, found], 1) if found.ndim == 1 else found
        if hasattr(model, "predict_proba"):
            return np.asarray(np.log(np.clip(model.predict_proba(x), 1e-30, None), dtype=np.float64))
    except ValueError:
        pass
    return None


def _said(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _find(path: str) -> Any:
    """Return the class at an import path."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise BenchError(f"cannot import estimator {path!r}; write for instance sklearn.svm.LinearSVC") from None
    if not inspect.isclass(found) or not hasattr(found, "fit") or not hasattr(found, "predict"):
        raise BenchError(f"{path} is no classifier: it needs fit and predict; write for instance sklearn.svm.LinearSVC")
    return found
