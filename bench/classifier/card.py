"""The card of a classifier, made from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bench.classifier.answers import NONE
from bench.classifier.model import Model
from bench.classifier.wilson import wilson
from bench.core.protocols import Explains, Forgets
from bench.core.state_bytes import StateBytes
from bench.utils.recipe_fields import defaults
from bench.utils.version import __version__

_NAMED = 20
"""Classes that are named in the card, at most."""


def card(model: Model, *, reject: float) -> str:
    """Return the card of a classifier as Markdown with a YAML head, as model hubs read it."""
    about = model.about
    parts = [
        _head(about),
        f"# {model.label} on {about.get('data', 'features')}",
        f"Answers which of {len(model.names)} classes an image shows, over a frozen encoder. Made by retrieval-bench "
        f"{__version__} with `bench fit`; this page is made from the run.",
        "## Data",
        _data(model),
        "## How good it is",
        _scores(model),
        "## What it costs",
        _cost(model),
        "## Method",
        _method(model),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(model, reject)),
    ]
    if model.log:
        parts += ["## Edits", "\n".join(_edit(entry) for entry in model.log)]
    return "\n\n".join(parts) + "\n"


def _head(about: Mapping[str, Any]) -> str:
    licence = str(about.get("licence", "unknown"))
    lines = ["---", "library_name: retrieval-bench", "pipeline_tag: image-classification"]
    lines += [f"license: {licence.lower()}"] if licence != "unknown" else []
    return "\n".join([*lines, "---"])


def _data(model: Model) -> str:
    about, task = model.about, model.task
    counts = torch.bincount(task.columns(task.support.labels), minlength=task.n_classes)
    named = ", ".join(model.names[:_NAMED])
    more = len(model.names) - _NAMED
    rows = [
        ("data set", f"{about.get('data', 'arrays')}, revision {about.get('revision', 'unknown')}"),
        ("licence", str(about.get("licence", "unknown"))),
        *([("citation", " ".join(str(about["citation"]).split()))] if about.get("citation") else []),
        ("classes", named + (f" and {more} more" if more > 0 else "")),
        ("encoder", f"{model.reference.name}, space {model.reference.space or 'unknown'}"),
    ]
    if model.items_kept:
        rows[3:3] = [
            ("labelled images", f"{len(task.support)}, of each class {int(counts.min())} to {int(counts.max())}"),
            ("memory", f"{len(task.memory.images)} images and {len(task.memory.texts)} texts"),
        ]
    return _table(("what", "which"), rows)


def _scores(model: Model) -> str:
    about, found = model.about, model.calibration
    asked = about.get("queries", {"images": 0, "correct": 0})
    rows = [
        (
            name,
            str(total),
            f"{100 * right / total:.1f} [{', '.join(f'{100 * end:.1f}' for end in wilson(right, total))}]",
        )
        for name, total, right in (
            ("queries of the data set", asked["images"], asked["correct"]),
            ("held-out images", found.images, found.correct),
        )
        if total
    ]
    if not rows:
        return "Nothing was measured: no class has an image to spare, and the data set has no queries."
    lines = []
    lines.append(_table(("measured on", "images", "accuracy % [95 % Wilson interval]"), rows))
    if found.images:
        lines.append(
            f"Held-out images: {model.share:.0%} of each class, at least one and at most half; the classifier that "
            "answered them had not seen them, and the one in this folder has. Probabilities are calibrated on them "
            f"(softmax at temperature {found.temperature:.4g})."
        )
        curve = [
            (f"{c:g}", f"{100 * n / found.images:.0f}", f"{100 * right / n:.1f}" if n else "-")
            for c, n, right in found.curve
        ]
        lines.append(_table(("confidence", "answered %", "right of these %"), curve))
    if model.log and "queries" in about:
        lines.append("The accuracy on queries was measured before the edits below.")
    return "\n\n".join(lines)


def _cost(model: Model) -> str:
    about = model.about
    size = StateBytes.of(model.state)
    rows = [
        ("fit", f"{about.get('fit_seconds', float('nan')):.2f} s, the encoder apart"),
        ("state", f"{sum(vars(size).values()) / 2**20:.2f} MiB"),
    ]
    for batch, told in sorted(about.get("latency", {}).items(), key=lambda one: int(one[0])):
        rows.append(
            (
                f"answer, {batch} at a time",
                f"median {told['median_ms']:.3f} ms, 95th percentile {told['p95_ms']:.3f} ms "
                f"({told['repetitions']} repetitions after {told['warm_up']}), the encoder apart",
            )
        )
    return _table(("what", "how much"), rows)


def _method(model: Model) -> str:
    about = model.method.about
    given = ", ".join(f"{key} = {value}" for key, value in defaults(model.method).items())
    rows = [
        ("method", model.label),
        ("paper", about.paper),
        ("scores", f"`{about.equation}`"),
        ("as published", "yes" if about.fidelity == "faithful" else f"adapted: {about.adapted}"),
        ("parameters", given or "none"),
        ("seed", str(model.seed)),
        ("says what decided", "yes" if isinstance(model.method, Explains) else "no"),
        ("removes items", "by its own exact forgetting" if isinstance(model.method, Forgets) else "by building again"),
    ]
    return _table(("what", "which"), rows)


def _limits(model: Model, reject: float) -> list[str]:
    task, found = model.task, model.calibration
    lines = [
        "It answers with one of its classes, whatever the image shows"
        + (f", or with '{NONE}' below a confidence of {reject:g}." if reject else "; no confidence was chosen.")
        + " A low confidence is a sign that an image is hard, and no test of whether it belongs to any class.",
        "The accuracy holds for images like those it was measured on; another camera, place or time may change it.",
    ]
    if not found.images:
        lines.append("Probabilities are not calibrated: there was no labelled image to spare.")
    elif found.images < 100:
        lines.append(f"Probabilities were calibrated on {found.images} images only; take them as a rough guide.")
    counts = torch.bincount(task.columns(task.support.labels), minlength=task.n_classes)
    few = [name for name, n in zip(model.names, counts.tolist(), strict=True) if 0 < n < 5]
    if model.items_kept and few:
        lines.append(f"{len(few)} of {len(model.names)} classes have fewer than five labelled images, e.g. {few[0]}.")
    if not model.items_kept:
        lines.append("It was kept without its items: nothing can be added or removed.")
    if not model.reference.known:
        lines.append("The encoder of its features is not known; it can be asked about feature arrays only.")
    return lines


def _edit(entry: Mapping[str, Any]) -> str:
    told = [f"{key} {_joined(value)}" for key, value in entry.items() if key not in ("time", "action")]
    return f"- {entry['time']}: {entry['action']}; {', '.join(told)}"


def _joined(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)])
