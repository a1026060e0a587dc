"""The record rows of a finished cell."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bench.core.dataset import Card
from bench.cost.encoder_flops import encoder_flops
from bench.runner.evaluate import Outcome
from bench.utils.hashing import digest
from bench.utils.recipe_fields import defaults
from bench.utils.version import SCHEMA

if TYPE_CHECKING:
    from bench.runner.plan import EpisodeSpec, Run
    from bench.runner.recipes import LabelledRecipe


def common(run: Run, spec: EpisodeSpec, named: LabelledRecipe, cell: str, provenance: str) -> dict[str, Any]:
    """Return the columns that all rows of a cell share, those of a skipped or failed one too."""
    recipe = named.recipe
    return {
        "schema": SCHEMA,
        "run": run.name,
        "cell": cell,
        "status": "ok",
        "method": named.label,
        "method_name": recipe.name,
        "method_params": json.dumps(named.params, sort_keys=True, default=str),
        "fidelity": recipe.about.fidelity,
        "selection": recipe.about.selection,
        "sees": recipe.about.sees,
        "experiment": run.manifest["experiment"],
        "scenario": spec.scenario.label,
        "scenario_params": json.dumps(defaults(spec.scenario.recipe), sort_keys=True, default=str),
        "dataset": spec.dataset.name,
        "encoder": spec.dataset.card.encoder,
        "encoder_flops": _encoder_flops(spec.dataset.card),
        "condition": json.dumps(dict(spec.condition), sort_keys=True, default=str),
        "precision": run.config.precision,
        "seed": spec.seed,
        "features_fingerprint": spec.dataset.fingerprint,
        "items": spec.dataset.items,
        "provenance": provenance,
    }


def _encoder_flops(card: Card) -> int | None:
    return encoder_flops(card.encoder) if card.encoder_flops is None else card.encoder_flops


def measured(outcome: Outcome, leak: Tensor, instead: str = "") -> dict[str, Any]:
    """Return the columns that one session fills.

    Parameters
    ----------
    leak : bool Tensor [q]
        Which queries have a near-duplicate among what was dealt.
    instead : str
        Why settings were chosen on the support and not on what was asked for.
    """
    task, queries = outcome.session.task, outcome.session.queries
    labels = queries.labels.cpu()
    width = max(task.classes) + 1
    total = torch.bincount(labels, minlength=width)
    right = torch.bincount(labels[outcome.predictions == labels], minlength=width)
    order = torch.tensor(task.classes)
    return {
        "session": task.session,
        "classes": list(task.classes),
        "class_total": total[order].tolist(),
        "class_correct": right[order].tolist(),
        "n_queries": len(queries),
        "n_correct": int(right.sum()),
        "n_near_duplicates": int(leak.sum()),
        "n_near_duplicates_correct": int((leak & (outcome.predictions == labels)).sum()),
        "session_kind": outcome.kind,
        "branches": task.memory.branches,
        "details": json.dumps(dict(outcome.details), sort_keys=True, default=str),
        "notes": json.dumps(dict(outcome.session.notes), sort_keys=True, default=str),
        "query_items": digest(sorted(queries.ids.tolist())),
        "labels_seen": outcome.labels_seen,
        "configurations": outcome.configurations,
        "selected_on": _selected_on(outcome.selected_on, instead),
        "tune_seconds": outcome.choice.seconds if not task.session else 0.0,
        "temperature": outcome.temperature.value,
        "temperature_from": outcome.temperature.source,
        "set_threshold": outcome.temperature.sets.threshold if outcome.temperature.sets is not None else None,
        "calibrate_seconds": outcome.temperature.seconds,
        "measures": _measures(outcome),
        "missing_parts": ", ".join(outcome.missing_parts) or None,
        "support_items": len(task.support),
        "memory_items": len(task.memory),
        "exemplars": outcome.exemplars,
        "state_bytes": outcome.state_bytes,
        **outcome.stored.columns(),
        **outcome.cost,
        "support_fingerprint": task.support.fingerprint,
        "memory_fingerprint": task.memory.fingerprint,
        "queries_fingerprint": queries.fingerprint,
    }


def _selected_on(said: str, instead: str) -> str:
    """Return what settings were chosen on, and all reasons why it is not what was asked for.

    Validation classes stand in for nothing: a method that trains on seen classes always chooses on them.
    """
    if not instead or said in ("none", "validation-classes"):
        return said
    kind, _, why = said.partition(": ")
    return f"{kind}: {instead}; {why}" if why else f"{kind}: {instead}"


def _set_sizes(outcome: Outcome) -> list[int] | list[None]:
    """Return the size of each query's set; None where there are no sets."""
    sizes = outcome.set_sizes
    return [None] * len(outcome.session.queries) if sizes is None else sizes.tolist()


def _measures(outcome: Outcome) -> str | None:
    """Return what the scenario measures beside accuracy, as JSON."""
    if not outcome.measures:
        return None
    return json.dumps({name: _known(values) for name, values in outcome.measures.items()})


def _known(values: tuple[float, float, float]) -> list[float | None]:
    """Return a measure with its limits; None for what is not a number."""
    return [None if math.isnan(value) else value for value in values]


def predictions(
    cell: str, outcomes: Sequence[Outcome], leaks: Sequence[Tensor], clusters: Mapping[str, str]
) -> dict[str, Any]:
    """Return a cell's predictions by column, one entry a query, session after session."""
    sizes = [len(o.session.queries) for o in outcomes]
    asked = np.concatenate([o.session.queries.ids for o in outcomes])
    return {
        "cell": [cell] * sum(sizes),
        "session": np.repeat([o.session.task.session for o in outcomes], sizes),
        "query": asked,
        "label": torch.cat([o.session.queries.labels.cpu() for o in outcomes]).numpy(),
        "prediction": torch.cat([o.predictions for o in outcomes]).numpy(),
        "rank": torch.cat([o.ranks for o in outcomes]).numpy(),
        "confidence": torch.cat([o.confidences for o in outcomes]).double().numpy(),
        "set_size": [size for o in outcomes for size in _set_sizes(o)],
        "near_duplicate": torch.cat(list(leaks)).numpy(),
        "cluster": [clusters.get(name) for name in asked.tolist()],
    }
