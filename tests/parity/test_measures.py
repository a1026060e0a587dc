"""What scenarios measure, against scikit-learn and loops."""

import numpy as np
import pytest
import torch
from scipy import special
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from bench.core.measure import Answered
from bench.functional.class_tree import deepest_sure, heights, paths_to_nodes
from bench.functional.detection import aupr, aurc, auroc, fpr_at_recall, oscr
from bench.functional.generalised import curve_area, gaps, harmonic, mean_of_classes
from bench.reports.metrics.measures import effective_robustness
from bench.sampling.measures.groups import ByGroup, OverTime
from bench.sampling.measures.intervals import resampled
from bench.utils.random import Stream


def draws(seed: int, tied: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    known, unknown = rng.normal(1, 1, 83), rng.normal(0, 1, 57)
    right = rng.random(83) < special.expit(known)
    return (known.round(0), unknown.round(0), right) if tied else (known, unknown, right)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_areas_of_detection_are_those_of_scikit_learn(seed: int, tied: bool) -> None:
    known, unknown, _ = draws(seed, tied)
    truth, scores = np.r_[np.ones(len(known)), np.zeros(len(unknown))], np.r_[known, unknown]
    assert auroc(known, unknown) == pytest.approx(roc_auc_score(truth, scores))
    assert aupr(known, unknown) == pytest.approx(average_precision_score(truth, scores))
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert fpr_at_recall(known, unknown) == pytest.approx(fpr[tpr >= 0.95].min())


@pytest.mark.parametrize("tied", [False, True])
def test_oscr_is_the_area_under_correct_classification_against_acceptance(tied: bool) -> None:
    known, unknown, right = draws(5, tied)
    thresholds = np.unique(np.r_[known, unknown])[::-1]
    correct = np.r_[0, [((known >= t) & right).mean() for t in thresholds]]
    accepted = np.r_[0, [(unknown >= t).mean() for t in thresholds]]
    assert oscr(known, right, unknown) == pytest.approx(np.trapezoid(correct, accepted))


def test_aurc_is_the_mean_risk_over_coverages_and_ties_enter_in_any_order() -> None:
    scores, _, right = draws(7)
    order = np.argsort(-scores)
    risks = [(~right[order][: n + 1]).mean() for n in range(len(order))]
    assert aurc(scores, right) == pytest.approx(np.mean(risks))
    one, other = np.array([True, False, True, False]), np.array([False, True, False, True])
    assert aurc(np.zeros(4), one) == aurc(np.zeros(4), other) == 0.5


def test_detection_without_unknown_queries_is_not_a_number() -> None:
    none, some = np.zeros(0), np.ones(3)
    assert all(np.isnan(found(some, none)) for found in (auroc, aupr, fpr_at_recall))


def test_ausuc_is_the_area_swept_by_a_bias() -> None:
    rng = np.random.default_rng(1)
    targets, seen = rng.integers(0, 6, 90), np.array([True, False, True, True, False, False])
    scores = rng.normal(0, 1, (90, 6)) + np.eye(6)[targets]
    own, points = seen[targets], []
    gap, hit = gaps(scores, targets, seen)
    for bias in np.r_[-np.inf, np.sort(gap) + 1e-9]:
        shifted = scores + np.where(seen, 0.0, np.clip(bias, -1e9, None))
        right = shifted.argmax(1) == targets
        points.append([np.mean([right[targets == c].mean() for c in np.flatnonzero(part)]) for part in (seen, ~seen)])
    s, u = np.array(points).T
    assert curve_area(gap, hit, targets, own) == pytest.approx(np.trapezoid(s, u))
    assert np.isnan(curve_area(gap[own], hit[own], targets[own], own[own]))


def test_means_over_classes_and_their_harmonic_mean() -> None:
    right, targets = np.array([True, True, True, False]), np.array([0, 0, 0, 1])
    assert mean_of_classes(right, targets) == 0.5
    assert harmonic(0.5, 1.0) == pytest.approx(2 / 3)
    assert harmonic(0.0, 0.0) == 0.0


PATHS = [["animal", "dog"], ["animal", "dog"], ["animal", "cat"], ["thing"]]


def test_heights_are_those_of_the_lowest_common_ancestor() -> None:
    assert all_heights(PATHS) == [[0, 1, 2, 3], [1, 0, 2, 3], [2, 2, 0, 3], [3, 3, 3, 0]]


def test_the_height_of_a_node_is_that_of_the_deepest_class_below_it() -> None:
    deep = [*PATHS, ["thing", "tool", "saw", "hand saw"], ["thing"]]
    assert all_heights(deep) == [[naive_height(deep, a, b) for b in range(6)] for a in range(6)]
    assert all_heights(deep)[3][5] == 4, "both lie right below 'thing', which reaches down to a saw"
    assert all_heights(deep)[0][1] == 1


def all_heights(paths: list[list[str]]) -> list[list[int]]:
    nodes, row = paths_to_nodes(paths), np.arange(len(paths))
    return [heights(nodes, np.full_like(row, a), row).tolist() for a in row]


def naive_height(paths: list[list[str]], a: int, b: int) -> int:
    if a == b:
        return 0
    shared = 0
    while shared < min(len(paths[a]), len(paths[b])) and paths[a][shared] == paths[b][shared]:
        shared += 1
    return max(len(path) + 1 - shared for path in paths if path[:shared] == paths[a][:shared])


def test_an_answer_backs_off_to_the_deepest_node_that_is_half_sure() -> None:
    nodes = paths_to_nodes(PATHS)
    p = np.array([[0.6, 0.2, 0.1, 0.1], [0.3, 0.3, 0.2, 0.2], [0.3, 0.1, 0.3, 0.3], [0.4, 0.0, 0.0, 0.6]])
    node, depth = deepest_sure(p, nodes)
    assert depth.tolist() == [3, 2, 1, 3]
    assert node.tolist() == [nodes[0, 3], nodes[0, 2], nodes[0, 1], nodes[3, 3]]
    assert deepest_sure(np.full((1, 4), 0.25), paths_to_nodes([["a"], ["b"], ["c"], ["d"]]))[1].tolist() == [0]


def test_effective_robustness_is_what_is_above_the_line_of_the_others() -> None:
    before = np.array([0.5, 0.6, 0.7, 0.8])
    on_line = special.expit(0.9 * special.logit(before) - 0.5)
    assert effective_robustness(before, on_line) == pytest.approx(np.zeros(4), abs=1e-9)
    raised = on_line + np.array([0.0, 0.0, 0.0, 0.05])
    assert effective_robustness(before, raised)[3] == pytest.approx(0.05)
    assert np.isnan(effective_robustness(np.full(3, 0.5), np.full(3, 0.4))).all()


def test_intervals_are_quantiles_over_resampled_queries() -> None:
    right = np.random.default_rng(0).random(400) < 0.7
    found = resampled(lambda rows, _: {"accuracy": float(right[rows].mean())}, 400, 0, Stream(0))
    value, low, high = found["accuracy"]
    half = 1.96 * np.sqrt(value * (1 - value) / 400)
    assert value == right.mean()
    assert [value - low, high - value] == pytest.approx([half, half], rel=0.2)


def answered(columns: list[int], targets: list[int], met: list[int] | None = None) -> Answered:
    scores = torch.eye(3)[torch.tensor(columns)]
    order = torch.arange(len(columns)) if met is None else torch.tensor(met)
    return Answered(scores=scores, targets=torch.tensor(targets), met=order, temperature=1.0)


def test_accuracy_by_group_and_over_time() -> None:
    groups = {"many": np.array([True, False, False]), "few": np.array([False, True, True])}
    found = ByGroup(groups)(answered([0, 0, 1, 0], [0, 0, 1, 2]), rng=Stream(0))
    assert (found["many"][0], found["few"][0]) == (1.0, 0.5)
    # Met from the last to the first: the first fifths are the rows at the end.
    rows = [0] * 5 + [1] * 5
    found = OverTime()(answered(rows, [0] * 10, list(range(9, -1, -1))), rng=Stream(0))
    assert [found[f"fifth_{n}"][0] for n in (1, 2, 4, 5)] == [0.0, 0.0, 1.0, 1.0]
    assert found["gain"][0] == 1.0
