"""Paired comparisons against scipy, definitions and brute force."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.reports.forms.limits import mcnemar
from bench.reports.metrics.definitions import METRICS
from bench.reports.metrics.influence import of_answers
from bench.reports.records.paired_predictions import Group, PairedPredictions, groups
from bench.reports.records.run_table import read_runs
from bench.reports.statistics.across_encoders import across_encoders
from bench.reports.statistics.designs import SEEDS
from bench.reports.statistics.estimates import Design, estimate
from bench.reports.statistics.families import Family, families_in_words, holm, undecidable
from bench.reports.statistics.paired_tests import paired_comparisons, permutation
from bench.reports.statistics.seeds_needed import seeds_needed
from bench.reports.statistics.table_marks import BEST, OPEN, marks
from tests.statistics.runs import make_run


def test_mcnemar_is_the_binomial_test():
    for b, c in [(3, 9), (0, 5), (7, 7), (40, 22)]:
        assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue)
    assert mcnemar(0, 0) == 1


def test_holm_is_the_step_down_definition():
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert np.isnan(holm([0.01, np.nan])[1])
    assert holm([0.01, np.nan])[0] == pytest.approx(0.01)


def test_permutation_is_the_share_of_all_flips():
    d = np.array([1.0, 1, 1, 1, -1, 1, 0, 0])
    values = d[d != 0]
    exact = np.mean([abs(np.dot(s, values)) >= abs(values.sum()) for s in product([-1, 1], repeat=len(values))])
    assert permutation([d], shared=True, purpose="test") == pytest.approx(exact, abs=0.02)


def test_permutation_with_shared_queries_flips_a_query_in_all_seeds():
    d = np.array([1.0, 1, 1, 1, -1, 1])
    once, thrice = (permutation([d] * n, shared=True, purpose="same") for n in (1, 3))
    assert once == pytest.approx(thrice, abs=0.02)
    assert permutation([d] * 3, shared=False, purpose="same") < once / 2


def answers(right, fingerprint="f", classes=4):
    """Predictions of a cell that answers the queries in `right` rightly."""
    right = np.asarray(right, dtype=bool)
    n = len(right)
    labels = np.arange(n) % classes
    ids = np.array([f"q{i:04}" for i in range(n)], dtype=object)
    return PairedPredictions(
        ids,
        labels,
        np.where(right, labels, classes),
        right,
        np.ones(n),
        np.where(right, 0, 5),
        np.full(n, np.nan),
        fingerprint,
    )


def group(**methods):
    """A group of methods with what each answers rightly in each seed [s, q]."""
    return Group("s", "d", "{}", {m: dict(enumerate(map(answers, right))) for m, right in methods.items()})


def only(comparisons):
    (one,) = comparisons[0]
    return one


def test_two_methods_that_are_right_on_all_of_fifty_queries_are_not_equivalent():
    right = np.ones((3, 50))
    found = only(paired_comparisons([group(a=right, b=right)]))
    assert found.verdict == "undecided"
    assert found.difference.mean == 0
    assert [found.difference.low, found.difference.high] == pytest.approx([-3.69 / 50, 3.69 / 50], rel=0.05)
    right = np.ones((3, 400))
    assert only(paired_comparisons([group(a=right, b=right)])).verdict == "equivalent"


def test_equivalence_takes_as_many_queries_as_could_have_shown_a_difference():
    # With no discordant pair among n queries a share of 1 % is missed with chance 0.99^n: 2.5 % at 368.
    for n, verdict in ((360, "undecided"), (380, "equivalent")):
        right = np.ones((1, n))
        assert only(paired_comparisons([group(a=right, b=right)])).verdict == verdict


def test_a_table_is_a_family_whatever_else_is_reported():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 5, 300)) < np.array([0.80, 0.76])[:, None, None]
    alone = only(paired_comparisons([group(a=a, b=b)]))
    others = [replace(group(a=a, b=b), dataset=f"d{i}") for i in range(6)]
    beside = paired_comparisons([group(a=a, b=b), *others])[0][0]
    assert alone.p_holm == beside.p_holm == alone.difference.p_holm_input
    assert alone.family.words == "1 comparison (all pairs), corrected by Holm"


def test_a_baseline_makes_a_family_of_those_that_are_compared_with_it():
    rng = np.random.default_rng(2)
    methods = {name: rng.random((5, 200)) < 0.7 for name in "abcd"}
    comparisons, notes = paired_comparisons([group(**methods)], baseline="c")
    assert [(c.a, c.b) for c in comparisons] == [("a", "c"), ("b", "c"), ("d", "c")]
    assert {c.family.size for c in comparisons} == {3}
    assert not notes
    comparisons, notes = paired_comparisons([group(**methods)], baseline="nobody")
    assert not comparisons
    assert notes == ["the baseline nobody has no predictions in s on d: nothing is compared there"]


def test_mcnemar_counts_queries_that_are_drawn_together_once():
    rng = np.random.default_rng(9)
    once = group(a=rng.random((2, 40)) < 0.9, b=rng.random((2, 40)) < 0.6)
    copies = np.repeat(np.arange(40), 5)
    repeated = group(**{m: np.array([r.correct[copies] for r in p.values()]) for m, p in once.predictions.items()})
    together = {m: {s: replace(r, clusters=copies) for s, r in p.items()} for m, p in repeated.predictions.items()}
    plain, fivefold, clustered = (
        only(paired_comparisons([one])).p_mcnemar for one in (once, repeated, replace(repeated, predictions=together))
    )
    assert clustered == plain
    assert max(f / p for f, p in zip(fivefold, plain, strict=True)) < 0.1
    # Four classes cannot be significant, whatever their queries say.
    by_class = {
        m: {s: replace(r, clusters=r.labels, classes_drawn=True) for s, r in p.items()}
        for m, p in once.predictions.items()
    }
    assert min(only(paired_comparisons([replace(once, predictions=by_class)])).p_mcnemar) >= 2 / 2**4


def test_methods_that_saw_other_numbers_of_labels_are_compared_only_when_asked():
    rng = np.random.default_rng(3)
    one = group(a=rng.random((3, 100)) < 0.7, b=rng.random((3, 100)) < 0.7)
    seen = {("s", "d", "{}", "a"): 592, ("s", "d", "{}", "b"): 37}
    comparisons, notes = paired_comparisons([one], labels_seen=seen)
    assert not comparisons
    assert len(notes) == 1
    assert notes[0].startswith("1 of 1 pairs of methods are not compared in s on d")
    assert "(b: 37; a: 592)" in notes[0]
    assert only(paired_comparisons([one], labels_seen=seen, unequal=True)).unequal_labels == (592, 37)


def test_a_family_that_two_seeds_cannot_decide_is_said():
    # With one degree of freedom and 45 comparisons, t must be 573.
    rng = np.random.default_rng(4)
    methods = {f"m{i}": rng.random((2, 50)) < 0.2 + 0.06 * i for i in range(10)}
    comparisons, _ = paired_comparisons([group(**methods)])
    (line,) = undecidable(comparisons)
    assert "could be decided with 2 seeds, whatever the difference: 45 comparisons (all pairs)" in line
    assert not list(undecidable(paired_comparisons([group(a=methods["m0"], b=methods["m9"])])[0]))


def rows(one):

    return pd.DataFrame(
        [
            (
                *one.key,
                method,
                *(
                    np.mean([metric.from_predictions(run) for run in runs.values()])
                    for metric in METRICS
                    if metric.influence is not None
                ),
            )
            for method, runs in one.predictions.items()
        ],
        columns=["scenario", "dataset", "condition", "method", *(m.name for m in METRICS if m.influence is not None)],
    ).assign(max_forgetting=np.nan, old_accuracy=np.nan, new_accuracy=np.nan)


def test_a_method_that_is_far_behind_is_neither_bold_nor_marked():
    rng = np.random.default_rng(5)
    methods = {
        "best": rng.random((3, 2000)) < 0.85,
        "near": rng.random((3, 2000)) < 0.845,
        "far": rng.random((3, 2000)) < 0.603,
    }
    one = group(**methods)
    found = marks([one], rows(one))
    assert found["s", "d", "{}", "best", "accuracy"] == BEST
    assert found["s", "d", "{}", "near", "accuracy"] == OPEN
    assert ("s", "d", "{}", "far", "accuracy") not in found
    assert ("s", "d", "{}", "far", "mean_class_recall") not in found


def test_the_best_are_all_that_have_the_largest_mean():
    right = np.arange(300) < 240
    one = group(a=[right] * 3, b=[np.roll(right, 5)] * 3, c=[np.arange(300) < 238] * 3)
    found = marks([one], rows(one))
    assert [found["s", "d", "{}", m, "accuracy"] for m in "abc"] == [BEST, BEST, OPEN]


def test_families_of_a_report_are_said_together():
    made = [Family(of=("s", str(n), "{}"), baseline=None, size=n, decidable=True) for n in (10, 3)]
    assert families_in_words(made) == "3 or 10 comparisons (all pairs), corrected by Holm"
    against = Family(of=("s", "d", "{}"), baseline="m", size=1, decidable=True)
    assert families_in_words([against]) == against.words == "1 comparison (against m), corrected by Holm"


def test_below_one_in_two_hundred_few_seeds_are_corrected_by_their_own_t():
    rng = np.random.default_rng(6)
    d = [of_answers((rng.random(2000) < 0.1 + 0.001 * s) * 1.0) for s in range(3)]
    e = estimate(d, Design(shared=True, overlap=0.0, over=SEEDS), "difference")
    assert e.p < 0.005
    assert e.p_holm_input >= stats.ttest_1samp([x.value for x in d], 0).pvalue * (1 - 1e-9)


def test_seeds_needed_are_more_than_those_that_left_it_undecided():
    # Of 15 comparisons Holm's correction leaves some undecided, though their own p is below 5 %.
    rng = np.random.default_rng(5)
    methods = {f"m{i}": rng.random((4, 200)) < 0.7 for i in range(5)} | {"a": rng.random((4, 200)) < 0.78}
    found = [c for c in paired_comparisons([group(**methods)])[0] if c.verdict == "undecided" and c.difference.p < 0.05]
    assert found
    for c in found:
        assert c.seeds_needed is not None
        assert c.seeds_needed.low is None or c.seeds_needed.low > len(c.seeds)


def settled(difference, spread, n=5, queries=2000, seed=0):
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, spread, n)
    shift += difference - shift.mean()
    d = [of_answers(np.where(rng.random(queries) < abs(s), np.sign(s), 0.0)) for s in shift]
    return estimate(d, Design(shared=True, overlap=0.0, over=SEEDS), "difference")


def test_seeds_needed_have_limits_and_are_none_without_a_difference():
    needed = seeds_needed(settled(0.02, 0.02))
    assert needed is not None
    assert needed.number is not None
    assert needed.low is not None
    assert needed.low <= needed.number
    assert needed.high is None or needed.number <= needed.high
    assert str(needed).startswith(f"{needed.number} [")
    stricter = seeds_needed(settled(0.02, 0.02), 0.005)
    assert stricter is not None
    assert stricter.number is not None
    assert stricter.number > needed.number
    assert seeds_needed(settled(0.0005, 0.02)) is None
    assert seeds_needed(settled(0.02, 0.0, n=1)) is None


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("c") / "r", {"a": 0.9, "b": 0.3, "c": 0.9}, queries=60)
    return paired_comparisons(groups(read_runs([folder])))[0]


def test_pairs_differences_and_verdicts(found):
    pairs = {(c.a, c.b): c for c in found}
    assert set(pairs) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert pairs["a", "b"].verdict == "better"
    assert pairs["b", "c"].verdict == "worse"
    assert pairs["a", "c"].verdict in ("undecided", "equivalent")
    assert pairs["a", "b"].superiority == 1
    assert pairs["a", "b"].difference.over == SEEDS
    assert all(p < 1e-6 for p in pairs["a", "b"].p_mcnemar)
    assert all(c.p_holm >= c.difference.p for c in found)
    assert all(c.seeds_needed is None or c.verdict == "undecided" for c in found)


def test_a_pair_with_different_queries_is_not_compared(tmp_path):
    make_run(tmp_path / "a", {"a": 0.9}, run="a")
    make_run(tmp_path / "b", {"b": 0.5}, run="b")
    run_table = read_runs([tmp_path])
    records = run_table.records.astype({"queries_fingerprint": object})
    changed = records["method"] == "b"
    records.loc[changed & (records["seed"] == 1), "queries_fingerprint"] = "other"
    comparisons, said = paired_comparisons(groups(replace(run_table, records=records)))
    assert comparisons[0].seeds == (0, 2)
    assert "different queries in 1 seeds" in said[0]


def test_two_encoders_of_the_same_images_are_paired_by_query():

    rng = np.random.default_rng(8)
    a = group(m=rng.random((3, 300)) < 0.9)
    b = replace(group(m=rng.random((3, 300)) < 0.5), dataset="e")
    for runs in b.predictions["m"].values():
        assert runs.fingerprint == "f"
    other = {m: {s: replace(r, fingerprint="g") for s, r in runs.items()} for m, runs in b.predictions.items()}
    records = pd.DataFrame({"scenario": "s", "dataset": ["d", "e"], "condition": "{}", "items": "same"})
    (found,) = across_encoders([a, replace(b, predictions=other)], records)
    assert (found.a, found.b, found.method, found.seeds, found.size) == ("d", "e", "m", 3, 1)
    assert found.difference.mean == pytest.approx(0.4, abs=0.05)
    assert found.p_holm < 0.05
    assert not across_encoders([a, b], records.assign(items=["one", "two"]))
