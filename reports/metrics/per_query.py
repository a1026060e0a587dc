"""Metrics by what each query, or each few-shot episode, has to do with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.reports.metrics.influence import Influence, of_answers, of_strata, of_values
from bench.reports.records.paired_predictions import PairedPredictions

Floats = NDArray[np.float64]


def accuracy(run: PairedPredictions) -> Influence:
    """Return the influence of each query on accuracy."""
    return of_answers(run.correct.astype(np.float64))


def recall(run: PairedPredictions) -> Influence:
    """Return the influence of each query on mean per-class recall: a mean over classes of means."""
    return of_strata(run.correct.astype(np.float64), run.labels)


def top5(run: PairedPredictions) -> Influence | None:
    """Return the influence on top-5 accuracy; None with five classes or fewer, where all would be in the top five."""
    return of_answers(run.top5.astype(np.float64)) if len(np.unique(run.labels)) > 5 else None


def in_set(run: PairedPredictions) -> Influence | None:
    """Return the influence on how often the right class is in a query's set; None without sets."""
    return None if run.in_set is None else of_answers(run.in_set.astype(np.float64))


def in_set_by_episode(run: PairedPredictions) -> Floats:
    """Return how often the right class is in a query's set in each episode [e]; NaN without sets."""
    assert run.episode is not None
    return np.full(int(run.episode[-1]) + 1, np.nan) if run.in_set is None else run.by_episode(run.in_set)


def set_size(run: PairedPredictions) -> Influence | None:
    """Return the influence on the mean number of classes in a query's set; None without sets."""
    return None if run.in_set is None else of_values(run.set_sizes)


def set_size_by_episode(run: PairedPredictions) -> Floats:
    """Return the mean number of classes in a query's set in each episode [e]; NaN without sets."""
    return run.by_episode(run.set_sizes)


def f1(run: PairedPredictions) -> Influence:
    """Return the influence on macro-F1 by its first-order expansion in the counts (:func:`f1_moves`).

    One wrong answer takes about as much from it as from mean per-class recall, so its weights are those.
    """
    like = recall(run)
    moves = f1_moves(run.labels, run.predictions)
    # Moves of the few queries of a class are too small by the same factor as those of its recall.
    counts = np.bincount(run.labels)[run.labels]
    moves = moves * (counts + 1) / np.sqrt(counts**2 + counts - 1)
    return Influence(macro_f1(run.labels, run.predictions), moves, like.answers, like.weights)


def average_incremental(run: PairedPredictions) -> Influence | None:
    """Return the influence on average incremental accuracy; None without the answers of all sessions.

    With N_t queries in session t of T, an answer adds (right - accuracy of session t) / (T N_t).
    """
    asked = run.history
    if asked is None:
        return None
    sizes = np.bincount(asked.session)
    share = 1 / (len(sizes) * sizes[asked.session])
    accuracy_of = np.bincount(asked.session, asked.correct) / sizes
    n = len(run.labels)
    weights = np.bincount(asked.place, share, n)
    right = np.bincount(asked.place, share * asked.correct, n)
    moves = np.bincount(asked.place, share * (asked.correct - accuracy_of[asked.session]), n)
    factor = np.sqrt(n / max(n - 1, 1))
    return Influence(float(accuracy_of.mean()), moves * factor, right / weights, np.asarray(weights, dtype=np.float64))


def forgetting(run: PairedPredictions) -> Influence | None:
    """Return the influence on forgetting: right when the class arrived less right at the end, mean over old classes.

    None without the answers of all sessions, and where no class is old at the end.
    """
    asked = run.history
    if asked is None:
        return None
    first = np.full(int(run.labels.max()) + 1, asked.session.max() + 1)
    np.minimum.at(first, asked.label, asked.session)
    old = first[run.labels] < asked.session.max()
    if not old.any():
        return None
    n = len(run.labels)
    at_arrival = asked.session == first[asked.label]
    change = np.bincount(asked.place[at_arrival], asked.correct[at_arrival], n) - run.correct
    of_old = of_strata(change[old], run.labels[old])
    spread = {name: np.zeros(n) for name in ("moves", "answers", "weights")}
    for name, values in spread.items():
        values[old] = getattr(of_old, name)
    return Influence(of_old.value, **spread)


def learning_accuracy(run: PairedPredictions) -> Influence | None:
    """Return the influence on learning accuracy, the mean over classes of the accuracy at arrival."""
    asked = run.history
    if asked is None:
        return None
    first = np.full(int(run.labels.max()) + 1, asked.session.max() + 1)
    np.minimum.at(first, asked.label, asked.session)
    at_arrival = asked.session == first[asked.label]
    right = np.bincount(asked.place[at_arrival], asked.correct[at_arrival], len(run.labels))
    return of_strata(right.astype(np.float64), run.labels)


def backward_transfer(run: PairedPredictions) -> Influence | None:
    """Return the influence on backward transfer, which is forgetting with the other sign."""
    lost = forgetting(run)
    if lost is None or lost.answers is None:
        return None
    return Influence(-lost.value, -lost.moves, -lost.answers, lost.weights)


def recall_by_episode(run: PairedPredictions) -> Floats:
    """Return the mean per-class recall of each episode [e]."""
    classes, flat, counts = np.unique(_episode_classes(run, run.labels), return_inverse=True, return_counts=True)
    owner = classes // _width(run)
    return np.asarray(np.bincount(owner, np.bincount(flat, run.correct) / counts) / np.bincount(owner))


def top5_by_episode(run: PairedPredictions) -> Floats:
    """Return the top-5 accuracy of each episode [e]; NaN with five classes or fewer."""
    values = run.by_episode(run.top5)
    assert run.episode is not None
    return values if len(np.unique(run.labels[run.episode == 0])) > 5 else np.full(len(values), np.nan)


def macro_f1(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> float:
    """Return the mean over classes of 2 tp / (2 tp + fp + fn), over classes that are a label or a prediction."""
    classes, flat = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    true, guessed = flat[: len(labels)], flat[len(labels) :]
    correct = np.bincount(true[true == guessed], minlength=len(classes))
    return float((2 * correct / np.bincount(flat)).mean())


def f1_moves(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> Floats:
    """Return how far each query moves macro-F1, first order in the counts [q]; the moves add up to 0.

    With F_k = 2 tp_k / s_k and s_k = n_k + g_k (labels and guesses of k), one query more of label a and guess b moves
    the sum of F by (2 [a = b] - F_a) / s_a - F_b / s_b.
    """
    classes, flat = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    true, guessed = flat[: len(labels)], flat[len(labels) :]
    correct = np.bincount(true[true == guessed], minlength=len(classes))
    both = np.bincount(true, minlength=len(classes)) + np.bincount(guessed, minlength=len(classes))
    f1 = 2 * correct / both
    moves = (2 * (true == guessed) - f1[true]) / both[true] - f1[guessed] / both[guessed]
    return np.asarray(moves / len(classes))


def f1_by_episode(run: PairedPredictions) -> Floats:
    """Return the macro-F1 of each episode [e]."""
    # A class of one episode is another than the same class of another episode; F1 is then a mean in each.
    label, guess = _episode_classes(run, run.labels), _episode_classes(run, run.predictions)
    classes, flat = np.unique(np.concatenate([label, guess]), return_inverse=True)
    correct = np.bincount(flat[: len(label)][label == guess], minlength=len(classes))
    owner = classes // _width(run)
    return np.asarray(np.bincount(owner, 2 * correct / np.bincount(flat)) / np.bincount(owner))


def _episode_classes(run: PairedPredictions, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers that tell classes apart by episode too: episode times width plus class id."""
    assert run.episode is not None
    return np.asarray(run.episode * _width(run) + classes)


def _width(run: PairedPredictions) -> int:
    return int(max(run.labels.max(), run.predictions.max())) + 1
