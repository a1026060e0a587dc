"""The tables of what methods cost."""

from bench.reports.report import build
from tests.statistics.runs import make_run


def test_flops_are_told_by_phase_by_query_and_in_all(tmp_path):
    counted = {"train_flops": 5000, "build_flops": 1000, "retrieve_flops": 4000, "score_flops": 800}
    counted |= {"elementwise_flops": 0, "formula_flops": 0, "encoder_flops": 7000}
    folder = make_run(tmp_path / "r", {"m": 0.5}, sessions=1, per=4, **counted)
    build([folder], tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    # 80 queries: 4 classes of 20.
    assert "| train | build | retrieve / query | score / query | answer / query | total | encoder / image |" in text
    assert "| m | 5.00 k | 1.00 k | 50 | 10 | 60 | 10.8 k | 7.00 k | 0.0 | 0.0 |" in text
