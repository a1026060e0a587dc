"""A run against the published numbers."""

import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.reports.verify import verify
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run


def made(folder, **settings):
    # 50 classes are asked about, as the paper does on CUB.
    wanted = {"seeds": (0, 1), "sessions": 1, "per": 50, "queries": 4, "scenario": "web-zero-shot", "conditions": ({},)}
    wanted |= {"experiment": "t02", "datasets": ("cub",), "encoder": "open_clip ViT-B-32 openai"}
    return make_run(folder / "r", {"mml": 0.7, "zero-shot": 0.5}, **(wanted | settings))


def call(*arguments):
    done = CliRunner().invoke(main, ["verify", *map(str, arguments)])
    return done.exit_code, done.output


def test_a_number_is_within_or_outside_a_tolerance(tmp_path):
    folder = made(tmp_path)
    checks, _ = verify([folder])
    compared = {c.what: c for c in checks if c.verdict != "not compared"}
    assert len(compared) == 2
    mml = next(c for name, c in compared.items() if "(mml)" in name)
    clip = next(c for name, c in compared.items() if "(zero-shot)" in name)
    # Table 2 of the paper, ViT-B/32.
    assert (mml.published, clip.published) == (pytest.approx(0.767), pytest.approx(0.703))
    near, far = sorted((mml, clip), key=lambda c: abs(c.difference))
    gap = 100 * abs(near.difference)
    assert abs(far.difference) > abs(near.difference) > 0
    verdicts = {c.what: c.verdict for c in verify([folder], gap + 0.01)[0]}
    assert verdicts[near.what] == "within"
    assert verdicts[far.what] == "outside"
    assert {c.verdict for c in verify([folder], gap - 0.01)[0]} <= {"outside", "not compared"}


def test_the_status_says_what_the_lines_say(tmp_path):
    folder = made(tmp_path)
    status, out = call(folder, "--tolerance", "0")
    assert status == 1
    assert out.startswith("outside: t02, ")
    assert "0 of 2 within 0 points" in out
    status, out = call(folder, "--tolerance", "100")
    assert status == 0
    assert "2 of 2 within 100 points" in out


def test_another_encoder_is_compared_only_on_request(tmp_path):
    folder = made(tmp_path, encoder="made-up")
    status, out = call(folder, "--tolerance", "100")
    assert status == 2
    assert "not compared: t02" in out
    assert "other encoder" in out
    assert "nothing in the run is comparable" in out
    assert call(folder, "--tolerance", "100", "--any-encoder")[0] == 0


def test_other_data_is_never_compared(tmp_path):
    status, out = call(made(tmp_path, datasets=("glyphs",)), "--any-encoder")
    assert status == 2
    assert "measured on glyphs" in out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"per": 20}, "other classes: 20 asked about, 50 published"),
        ({"conditions": ({"memory": "support split"},)}, "other memory: support split"),
    ],
)
def test_another_task_is_never_compared(tmp_path, settings, words):
    status, out = call(made(tmp_path, **settings), "--tolerance", "100", "--any-encoder")
    assert status == 2
    assert words in out


def test_a_cost_stands_beside_the_published_one_without_a_verdict(tmp_path):
    folder = made(tmp_path, experiment="s4-5", datasets=("glyphs",), score_flops=10**9)
    status, out = call(folder)
    assert status == 2
    (line,) = [line for line in out.splitlines() if "knowledge integration (mml)" in line]
    # 200 queries took a billion FLOPs, so 256 take 0.64 billion multiply-adds.
    assert "measured on glyphs: measured 0.64, published 10.7 billion multiply-adds, -94 %: a cost" in line


def test_a_run_that_is_no_experiment_is_one_line(tmp_path):
    with pytest.raises(BenchError, match=r"nothing to verify: .*list experiments"):
        verify([made(tmp_path, experiment=None)])
    status, out = call(tmp_path / "r")
    assert status == 2
    assert len(out.splitlines()) == 1
