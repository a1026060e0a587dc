"""Counted FLOPs against counts by hand and against the numbers of the paper."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from bench.core.task import Episode, Session
from bench.cost.encoder_flops import encoder_flops, residual_network_flops, vision_transformer_flops
from bench.cost.flops import _WITH_FORMULA, count, search_flops
from bench.cost.meter import Meter, metered, phase
from bench.functional.attention import Block, integrate, integrate_each, standardise
from bench.functional.classwise import class_means, class_sums, class_votes, herd, neighbour_votes, normalise
from bench.functional.gaussian import Moments
from bench.functional.logistic_regression import LogisticRegression
from bench.methods.knn import KNN
from bench.methods.linear_probe import LinearProbe
from bench.methods.protonet import ProtoNet
from bench.methods.slda import SLDA
from bench.methods.zero_shot import ZeroShot
from bench.runner.evaluate import Outcome, run_cell
from bench.runner.handover import Handover
from bench.utils.random import Stream
from tests.toy import DIMENSION, dataset, task

G = 1e9
BATCH = 256


@pytest.fixture(scope="module")
def vit() -> Any:
    """ViT-B/32 as open_clip builds it, with random weights."""
    open_clip = pytest.importorskip("open_clip")
    logging.disable(logging.WARNING)
    with torch.random.fork_rng(devices=[]):
        model = open_clip.create_model("ViT-B-32", pretrained=None, require_pretrained=False).visual
    logging.disable(logging.NOTSET)
    return model.eval()


def test_encoding_costs_what_the_paper_says_whatever_attention_runs(vit: Any) -> None:
    image = torch.zeros(1, 3, 224, 224)
    with torch.no_grad():
        ours = count(lambda: vit(image)).products
        with FlopCounterMode(display=False) as torchs:
            vit(image)
    with torch.inference_mode():
        inference = count(lambda: vit(image)).products
    trained = count(lambda: vit(image)).products
    assert ours == inference == trained == encoder_flops("ViT-B-32:openai")
    # The paper counts multiply-adds: 1129.9 G for a batch of 256.
    assert ours / 2 * BATCH / G == pytest.approx(1129.9, rel=0.01)
    # What torch's own counter misses is the attention that is fused in evaluation mode.
    assert torchs.get_total_flops() / G == pytest.approx(5.89, abs=0.01)
    assert ours / G == pytest.approx(8.82, abs=0.01)


def test_integration_costs_what_the_paper_says_in_its_own_arrangement_and_a_sixth_when_folded() -> None:
    d, k = 512, 32
    block = Block.initial(d, Stream(0))
    f, items = torch.randn(4, d, generator=Stream(1).torch()), torch.randn(4, k, d, generator=Stream(2).torch())
    with torch.no_grad():
        own = count(lambda: integrate_each(block, f, items)).products / 4
        folded = count(lambda: integrate(block, f, items)).products / 4
    assert own == 2 * ((10 + 2 * k) * d * d + 2 * k * d)
    assert folded == 2 * (12 * d * d + 2 * k * d)
    # Two blocks, one for images and one for texts, in multiply-adds.
    assert 2 * BATCH * own / 2 / G == pytest.approx(10.7, rel=0.1)
    assert own / folded > 6


def test_both_arrangements_of_the_integration_give_the_same() -> None:
    d, k = 24, 5
    g = Stream(3).torch()
    block = Block.initial(d, Stream(0)).map(lambda w: (w + 0.1 * torch.randn(w.shape, generator=g)).double())
    f = torch.randn(7, d, generator=g, dtype=torch.float64)
    items = standardise(torch.randn(7, k, d, generator=g, dtype=torch.float64))
    torch.testing.assert_close(integrate_each(block, f, items), integrate(block, f, items), rtol=1e-10, atol=1e-10)


def test_the_papers_search_is_one_product_with_its_memory() -> None:
    # 58.3 G multiply-adds at batch 256 and d = 512 are a memory of 445 thousand items.
    m = round(58.3 * G / (BATCH * 512))
    assert m == pytest.approx(445_000, rel=0.01)
    assert search_flops(BATCH, m, 512) / 2 / G == pytest.approx(58.3, rel=0.01)


def test_a_configuration_gives_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = pytest.importorskip("open_clip")
    logging.disable(logging.WARNING)
    vision = {"image_size": 64, "layers": [1, 2, 2, 1], "width": 24, "head_width": 32}
    text = {"context_length": 8, "vocab_size": 16, "width": 32, "heads": 2, "layers": 1}
    tower = {"image_size": 48, "layers": 3, "width": 96, "patch_size": 16, "mlp_ratio": 3.0}
    for config, expected in (
        (vision, residual_network_flops(side=64, width=24, layers=[1, 2, 2, 1], out=40)),
        (tower, vision_transformer_flops(side=48, patch=16, width=96, layers=3, mlp_ratio=3.0, out=40)),
    ):
        with torch.device("meta"), torch.no_grad():
            model = open_clip.CLIP(embed_dim=40, vision_cfg=config, text_cfg=text).visual.eval()
            image = torch.empty(1, 3, config["image_size"], config["image_size"])
            assert count(partial(model, image)).products == expected
    logging.disable(logging.NOTSET)
    assert encoder_flops("glyphs") is not None
    assert encoder_flops("pixels+HOG") is None
    assert encoder_flops("ViT-B-16-SigLIP:webli") is None


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (lambda a, b: a @ b, 2 * 6 * 4 * 5),
        (lambda a, b: torch.einsum("ij,jk->ik", a, b), 2 * 6 * 4 * 5),
        (lambda a, b: torch.addmm(torch.zeros(5), a, b), 2 * 6 * 4 * 5),
        (lambda a, b: torch.zeros(6, 5).addmm_(a, b), 2 * 6 * 4 * 5),
        (lambda a, b: torch.linalg.cholesky(torch.eye(6)), 72),
        (lambda a, b: torch.linalg.eigh(torch.eye(6)), 9 * 216),
        (lambda a, b: torch.linalg.solve(torch.eye(6), a), 144 + 2 * 36 * 4),
        (lambda a, b: torch.cholesky_solve(a, torch.eye(6)), 2 * 36 * 4),
        (lambda a, b: torch.linalg.qr(a), round(2 * 2 * 16 * (6 - 4 / 3))),
        (lambda a, b: torch.linalg.qr(a, mode="r"), round(2 * 16 * (6 - 4 / 3))),
        (lambda a, b: a.T.contiguous().clone(), 0),
    ],
)
def test_products_are_counted_as_textbooks_do(what: Any, expected: int) -> None:
    a, b = torch.ones(6, 4), torch.ones(4, 5)
    assert count(lambda: what(a, b)).products == expected


def test_backward_costs_twice_the_forward_pass() -> None:
    w, x = torch.ones(8, 5, requires_grad=True), torch.ones(3, 8, requires_grad=True)
    assert count(lambda: (x @ w).sum().backward()).products == 3 * 2 * 3 * 8 * 5


def test_elementwise_work_is_one_flop_a_number() -> None:
    x = torch.ones(10, 6)
    assert count(lambda: x * 2 + 1).elementwise == 2 * 60
    assert count(lambda: x.sum(0)).elementwise == 60
    assert count(lambda: x.topk(2)).elementwise == 60
    assert count(lambda: x.sort(dim=1)).elementwise == 60 * 3
    assert count(lambda: torch.zeros(3, 6).index_add_(0, torch.zeros(10, dtype=torch.int64), x)).elementwise == 60


def cost_of(method: Any) -> tuple[Outcome, int, int, int]:
    """Return what a method does on the toy task, and its q, c and n."""
    t = task()
    queries = dataset().splits["test"].of_classes(t.classes)
    session = Session(task=t, queries=queries)
    (outcome,) = run_cell(method, Handover(Episode(sessions=(session,)), 0), label=method.name).outcomes
    return outcome, len(queries), t.n_classes, len(t.labelled)


# Elementwise: a norm reads d numbers at 2 FLOPs and d more are divided by it, so a unit vector takes about 3 d.


def test_knn_by_hand() -> None:
    outcome, q, c, _ = cost_of(KNN(k=32, vote="majority"))
    m = len(outcome.session.task.all_images)
    assert outcome.cost["retrieve_flops"] == q * m * (2 * DIMENSION + 1) + 3 * DIMENSION * (q + m)
    # The votes of all neighbours, and half a vote in all to decide ties.
    assert outcome.cost["score_flops"] == pytest.approx(q * min(32, m) + q * c + c, abs=3 * c)
    assert outcome.cost["train_flops"] == 0


def test_protonet_by_hand() -> None:
    outcome, q, c, n = cost_of(ProtoNet())
    d = DIMENSION
    products = 2 * q * c * d
    # Unit queries; means, their norms; all scores divided by the temperature.
    assert outcome.cost["score_flops"] - products == pytest.approx(3 * q * d + 4 * c * d + q * c, rel=0.05)
    # Unit images, added up by class.
    assert outcome.cost["build_flops"] == pytest.approx(4 * n * d, rel=0.05)


def test_zero_shot_by_hand() -> None:
    outcome, q, c, _ = cost_of(ZeroShot())
    d = DIMENSION
    assert outcome.cost["score_flops"] - 2 * q * c * d == pytest.approx(3 * q * d + q * d, rel=0.05)
    # Unit texts, and a sort into the order of columns.
    assert outcome.cost["build_flops"] == 3 * c * d + c + c * 2
    assert outcome.cost["retrieve_flops"] == 0


def test_slda_by_hand() -> None:
    outcome, q, c, n = cost_of(SLDA())
    d = DIMENSION
    # X'X, the scatter of the means, Cholesky, and c right sides.
    products = 2 * n * d * d + 2 * c * d * d + d**3 / 3 + 2 * d * d * c
    counted = outcome.cost["build_flops"] + outcome.cost["score_flops"] - outcome.cost["elementwise_flops"]
    assert counted == pytest.approx(products + 2 * q * c * d, rel=0.001)


def test_linear_probe_by_hand() -> None:
    outcome, q, c, _ = cost_of(LinearProbe())
    d = DIMENSION
    assert outcome.cost["score_flops"] == pytest.approx(2 * q * c * d + 3 * q * d + q * c, rel=0.05)


def charged(function: Callable[[], Any]) -> tuple[int, int]:
    """Return the products and elementwise FLOPs that a method is charged for what a function does."""
    meter = Meter()
    with metered(meter), phase("build"):
        function()
    return meter.flops["build", "product"], meter.flops["build", "elementwise"]


X = torch.randn(2500, 6, generator=Stream(0).torch())
COLUMNS = torch.arange(len(X)) % 4


@pytest.mark.parametrize(
    "what",
    [
        lambda: normalise(X),
        lambda: normalise(X.half()),
        lambda: normalise(X.view(5, 500, 6)),
        lambda: normalise(X[0]),
        lambda: normalise(X[:0]),
        lambda: normalise(X.clone().requires_grad_()).sum().backward(),
        lambda: class_sums(X, COLUMNS, 4),
        lambda: class_sums(X.half(), COLUMNS, 4, unit=True),
        lambda: class_means(X, COLUMNS, 5),
        lambda: Moments.of(X, COLUMNS, 4),
        lambda: neighbour_votes(COLUMNS.view(500, 5), torch.ones(500, 5), 200),
        lambda: class_votes(COLUMNS.view(500, 5), torch.ones(500, 5), 200),
        lambda: herd(X[:9], 4),
        lambda: herd(X[:3], 7),
        lambda: herd(X[:20].view(2, 10, -1), 3),
        lambda: herd(X[:20].view(2, 10, -1), 8),
        lambda: task().columns(torch.tensor([7, 9, 7, 3])),
        lambda: LogisticRegression(X[:40], COLUMNS[:40], 4).fit(1.0),
    ],
)
def test_what_methods_share_is_charged_what_is_counted(what: Callable[[], Any]) -> None:
    # Without a meter each operation is counted; with one these functions are charged by their own formulas.
    counted = count(what)
    assert charged(what) == (counted.products, counted.elementwise)


def test_an_evaluation_of_logistic_regression_by_hand() -> None:
    n, d, c = 40, DIMENSION, 3
    x = torch.randn(n, d, generator=Stream(0).torch())
    regression = LogisticRegression(x, torch.arange(n) % c, c)
    theta = torch.zeros(d + 1, c)
    costs = []
    for times in (1, 2, 5):
        meter = Meter()
        with metered(meter), phase("build"):
            for _ in range(times):
                regression._evaluate(regression._rows, theta, 1.0)
        costs.append(meter.flops["build", "product"])
    # Logits and the gradient; the second and later evaluations are charged as the first one was counted.
    assert costs == [4 * n * d * c, 2 * 4 * n * d * c, 5 * 4 * n * d * c]


def test_names_tell_which_operations_torch_has_a_formula_for() -> None:
    names = [str(packet).rpartition(".")[2] for packet in flop_registry]
    assert len(names) > 20
    assert [name for name in names if not _WITH_FORMULA.search(name)] == []
