"""The text side of a task: one vector a class."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.core.protocols import Part
from bench.core.task import Task
from bench.functional.classwise import class_counts, class_means, normalise

LOGIT_SCALE = 100.0
"""CLIP's temperature, clamped at 100 in training (Radford et al., ICML 2021, arXiv:2103.00020, section 2.5)."""


def prompt_matrix(task: Task) -> Tensor | None:
    """Return the unit-norm class-text vectors in column order, [c, d]; None unless every class has one."""
    if len(task.prompts) < task.n_classes:
        return None
    return normalise(task.prompts.x)[torch.argsort(task.columns(task.prompts.labels))]


def lacking_class_texts(task: Task) -> tuple[Part, ...]:
    """Return that class texts are missing, unless every class has one; see :func:`prompt_matrix`."""
    return () if len(task.prompts) >= task.n_classes else ("class texts",)


def class_texts(task: Task) -> tuple[Tensor, Tensor]:
    """Return a unit-norm text vector for each class that has any text, [c, d], and which have one, bool [c].

    It is the class's prompt, or the mean of its text items where there is no prompt; zeros where there is neither.
    """
    texts = task.memory.texts
    columns = task.columns(texts.labels)
    means = class_means(normalise(texts.x), columns, task.n_classes)
    has = class_counts(columns, task.n_classes) > 0
    if len(task.prompts):
        at = task.columns(task.prompts.labels)
        means[at], has[at] = normalise(task.prompts.x), True
    return normalise(means), has
