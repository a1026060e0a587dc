"""Methods called faithful against figures that the official code gave for inputs made by seeded generators.

The official files were run as they are, in float32 on a CPU: with numpy and scipy in the place of cupy (ZLaP), without
``.cuda()`` and with ``.half()`` leaving float32 (TDA), and with encoders that return the given features. Figures of the
other faithful methods stand in the files that :data:`FIGURES` names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.registry import METHODS
from bench.core.task import Task
from bench.encoders.prompts import class_texts, read_templates
from bench.utils.random import Stream
from tests.parity._naive import make, scores
from tests.parity.test_visual_memory import noisy

HERE = Path(__file__).name
FIGURES = {
    "fecam-official": ("test_fecam.py", "d2479b7"),
    "fecam-official-vit": ("test_fecam.py", "d2479b7"),
    "mml-official": ("test_mml_official.py", "f607f84"),
    "simplecil": (HERE, "a2e6b71"),
    "tda": (HERE, "e697fb0"),
    "visual-memory": (HERE, "d379c10"),
    "zero-shot": (HERE, "d05afc4"),
    "zlap": (HERE, "89ab14b"),
    "zlap-inductive": (HERE, "89ab14b"),
    "zlap-sparse": (HERE, "89ab14b"),
}
"""Where the figures are of each method that is called faithful, and the commit of the code that gave them."""


def test_every_method_called_faithful_has_figures_of_the_official_code() -> None:
    called = {name for name in METHODS.names() if METHODS.get(name).cls.about.fidelity == "faithful"}
    called |= {name for name in METHODS.names() if make(name).about.fidelity == "faithful"}
    # scikit-learn's estimators are not written anew: they are called, and test_sklearn_adapter.py calls them beside.
    assert called - {"sklearn"} == set(FIGURES)
    for file, commit in FIGURES.values():
        assert commit in (Path(__file__).parent / file).read_text()


def unit(x: np.ndarray) -> Tensor:
    return torch.from_numpy((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))


def asked_of(x: Tensor, labels: np.ndarray, texts: Tensor | None, *, classes: int, dataset: str = "") -> Task:
    """Return a task with these labelled images and class texts, and no memory."""
    names = tuple("abcdefghij"[:classes])

    def rows(x: Tensor, labels: np.ndarray, what: str) -> Features:
        ids = np.array([f"{what}{n}" for n in range(len(x))], dtype=np.str_)
        return Features(x, torch.from_numpy(labels), ids, names)

    d = x.shape[1]
    prompts = Features.empty(d, names) if texts is None else rows(texts, np.arange(classes), "text")
    return Task(
        classes=tuple(range(classes)), class_names=names, support=rows(x, labels, "image"), memory=Memory.empty(d),
        prompts=prompts, dataset=dataset,
    )  # fmt: skip


def held_to(found: Tensor, answers: str, first: list[list[float]], means: list[float], rows: list[int]) -> None:
    """Compare all answers, the scores of some rows and the mean of all, to 1e-5 of the largest score."""
    assert "".join(map(str, found.argmax(1).tolist())) == answers
    bound = 1e-5 * np.abs(first).max()
    np.testing.assert_allclose(found[rows].double().numpy(), first, rtol=0, atol=bound)
    np.testing.assert_allclose(found.double().mean(0).numpy(), means, rtol=0, atol=bound)


ZLAP = {
    # do_transductive_lp
    "zlap": (
        "3444310421020512313343014512241104324334532115103503",
        [
            [0.00091183, 0.0004893, 0.00016038, 0.02667188, 7.801e-05, 0.00029034],
            [0.00056599, 0.00138555, 7.557e-05, 6.08e-06, 0.00151966, 5.908e-05],
            [0.00021183, 6.941e-05, 0.00191838, 2.606e-05, 0.01351688, 0.00104232],
            [7.485e-05, 0.00198824, 2.394e-05, 1.403e-05, 0.02365183, 7.091e-05],
        ],
        [0.00220514, 0.0030823, 0.00230195, 0.00390169, 0.003445, 0.00141738],
    ),
    # do_inductive_lp
    "zlap-inductive": (
        "432114113113",
        [
            [0.00826571, 0.00154997, 0.00016266, 0.00055045, 0.02933114, 0.00102528],
            [0.00082346, 0.00089672, 0.00115048, 0.10071413, 0.0002316, 0.00371588],
            [0.00079008, 0.00098845, 0.04410548, 0.02248771, 0.00088919, 0.00641955],
            [0.00029748, 0.0368054, 0.00053019, 0.00396456, 8.318e-05, 0.00653651],
        ],
        [0.00464999, 0.03799518, 0.00455634, 0.0330523, 0.00574034, 0.00615031],
    ),
    # do_sparse_inductive_lp
    "zlap-sparse": (
        "432114113113",
        [
            [0.00819266, 0.00051499, 0.0, 6.7e-07, 0.02865296, 0.00074991],
            [0.0, 0.0, 0.00054445, 0.09879014, 0.0, 0.00256549],
            [0.0, 0.00070845, 0.04365514, 0.0195676, 0.0, 0.00290681],
            [0.0, 0.03672227, 0.0, 0.00031192, 1e-07, 0.00238153],
        ],
        [0.00420977, 0.03752941, 0.00406047, 0.03135259, 0.00523817, 0.00338654],
    ),
}
"""What zlap.py of vladan-stojnic/ZLaP gave at commit 89ab14b with k = 5, gamma = 5 and alpha = 0.3."""


@pytest.mark.parametrize("name", list(ZLAP))
def test_zlap_is_the_official_code(name: str) -> None:
    random = np.random.default_rng(11)
    texts = random.standard_normal((6, 24))
    labels = random.integers(6, size=52)
    x = unit(0.5 * texts[labels] + 0.9 * random.standard_normal((52, 24)))
    memory = 0 if name == "zlap" else 40
    task = asked_of(x[:memory], labels[:memory], unit(texts), classes=6)
    answers, first, means = ZLAP[name]
    held_to(scores(name, task, x[memory:]), answers, first, means, [0, 1, 2, 3])


TDA = {
    "imagenet": (
        "220021122121015005221140300144430525411335205542041153133011344213150205324222403151202342",
        [
            [96.60278, 95.2146, 100.56486, 95.45412, 96.56584, 94.08071],
            [100.29427, 98.37897, 100.16687, 98.52865, 100.64208, 96.40507],
            [101.58696, 98.00296, 99.98428, 101.84173, 98.21674, 99.56195],
            [99.34679, 97.88776, 101.13085, 98.96645, 98.65688, 97.49666],
        ],
        [99.67741, 98.83302, 99.57414, 98.77624, 98.48583, 97.68412],
    ),
    "oxford_pets": (
        "220021122121015005223140300144430525411335205542041153133011344213150205324222403151202342",
        [
            [96.60278, 95.2146, 100.56486, 95.45412, 96.56584, 94.08071],
            [99.90685, 97.92255, 99.71595, 98.24528, 100.3361, 96.07338],
            [101.22533, 97.45054, 99.49551, 101.48897, 97.76464, 99.12006],
            [98.91064, 97.35085, 100.72337, 98.49595, 98.13177, 96.96896],
        ],
        [99.28573, 98.38817, 99.12908, 98.49021, 98.15236, 97.33113],
    ),
}
"""``final_logits`` of tda_runner.py of kdiAAA/TDA at commit e697fb0 with the settings of configs/NAME.yaml.

61 of the 90 queries are unsure enough for the negative cache, and 7 and 6 answers are not zero-shot's.
"""


@pytest.mark.parametrize("dataset", list(TDA))
def test_tda_is_the_official_code(dataset: str) -> None:
    random = np.random.default_rng(5)
    texts = random.standard_normal((6, 32))
    labels = random.integers(6, size=90)
    x = 0.55 * texts[labels] + 0.9 * random.standard_normal((90, 32))
    # Texts lie near one another, and images near them all, as CLIP's do.
    texts = 0.2 * texts + random.standard_normal(32)
    asked = unit(0.2 * x + texts.mean(0))
    task = asked_of(asked[:0], labels[:0], unit(texts), classes=6, dataset=dataset)
    held_to(scores("tda", task, asked), *TDA[dataset], [0, 30, 60, 89])


def test_simplecil_is_the_official_code_in_two_sessions() -> None:
    """``models/simplecil.py`` and ``convs/linears.py`` of zhoudw-zdw/RevisitingCIL at commit a2e6b71."""
    random = np.random.default_rng(3)
    centres, labels = random.standard_normal((6, 16)), np.repeat(np.arange(6), 5)
    x = centres[labels] + 0.8 * random.standard_normal((30, 16))
    x = torch.from_numpy((x * random.uniform(1, 9, (30, 1))).astype(np.float32))
    asked = random.standard_normal((40, 16)).astype(np.float32)
    queries = torch.from_numpy(asked * random.uniform(0.5, 4, (40, 1)).astype(np.float32))
    method = make("simplecil")
    task = asked_of(x[:15], labels[:15], None, classes=3)
    state = method.build(task, rng=Stream(0))
    held_to(
        method.score(state, queries),
        "2212202022010021121022221021002022222120",
        [
            [-0.3824677, -0.3812225, 0.0180695],
            [0.1996707, 0.2384905, 0.5800451],
            [0.3561171, 0.4834417, -0.3042273],
            [-0.1167144, -0.1582921, -0.030489],
        ],
        [0.0247432, -0.012602, 0.0924062],
        [0, 1, 2, 3],
    )
    # The second session brings the classes 3 to 5 and no image of the others.
    state = method.extend(state, asked_of(x[15:], labels[15:], None, classes=6), rng=Stream(0))
    held_to(
        method.score(state, queries),
        "3214504024010031121444423443502034224325",
        [
            [-0.3824677, -0.3812225, 0.0180695, 0.1746965, 0.0084958, -0.0097873],
            [0.1996707, 0.2384904, 0.5800451, -0.2085754, 0.1778302, -0.1611097],
            [0.3561172, 0.4834417, -0.3042273, 0.0949549, -0.0526134, 0.1018149],
            [-0.1167144, -0.1582921, -0.030489, -0.1330124, 0.0071845, -0.2461433],
        ],
        [0.0247432, -0.012602, 0.0924062, -0.0944577, 0.0728775, -0.0090543],
        [0, 1, 2, 3],
    )


def test_zero_shot_is_the_official_code_from_the_templates_on() -> None:
    """``zeroshot_classifier`` and the loop after it in openai/CLIP at commit d05afc4.

    notebooks/Prompt_Engineering_for_ImageNet.ipynb with its 80 templates, which are ours too.
    """
    random = np.random.default_rng(2)
    names = ("cat", "dog", "red panda", "tree frog", "great white shark")
    templates, d = read_templates("imagenet-80"), 16
    shape = (len(names), len(templates))
    made = random.standard_normal((len(names), 1, d)) + 0.7 * random.standard_normal((*shape, d))
    features = torch.from_numpy(made).float() * torch.from_numpy(random.uniform(3, 12, (*shape, 1))).float()
    images = torch.from_numpy(random.standard_normal((30, d)) * random.uniform(3, 12, (30, 1))).float()

    def encode(texts: object) -> tuple[Tensor, Tensor]:
        return features.flatten(0, 1), torch.zeros(len(names) * len(templates), dtype=torch.bool)

    texts = class_texts(encode, names, templates).x
    task = asked_of(images[:0], np.zeros(0, np.int64), texts, classes=5)
    held_to(
        scores("zero-shot", task, images),
        "312011423103123444322222223334",
        [
            [-26.29263, -67.5981, -15.4637, 17.04447, -19.10957],
            [43.38366, 63.83458, -26.86979, -6.57355, 33.70317],
            [-8.03673, -22.53901, 4.79824, -39.71759, -13.12944],
            [48.47206, 10.78533, -40.78292, 18.30791, 31.7557],
        ],
        [-0.26507, -2.75039, -1.05041, 1.36334, 4.52764],
        [0, 1, 2, 3],
    )


LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzA"
VISUAL_MEMORY = {
    ("plurality", "none", 10): "qxpv50zg20koyjjfx3te33nwfhdoo1hnbktnz4a4y4bvb22zguarfuhz6m2x",
    ("plurality", "none", 100): "8xpv50zzuhkoyjjfxpte33nAfhdoog8nbktz84g4ynuvbmxzguatfuhz6m2h",
    ("distance", "none", 10): "qxpv50zg20koyjjfx3te33nsfhdooghnbktnz4a4y4bvb22zguarfuhz6m2x",
    ("distance", "none", 100): "8xpv50zzuhkoyjjfxpte33nAfhdoog8nbktz84a4ynuvbmxzguatfuhz6m2h",
    ("softmax", "none", 10): "qxpv50zg20ko0jjf23te33ntfhdoog8nbktou4a4y4bvb2jzguatfuhz6m2x",
    ("softmax", "none", 100): "txpv50zglhkoyjjfx3te33nsfhdoog8nbkto84a4y4uvbmjzguatfuhz6m2h",
    ("rank", "none", 10): "qzpv50zgl0ko0jjfx3te33bsfhdoot8neifou444y4fvb2jzguatfuhz6m2x",
    ("rank", "none", 100): "qxpv50zgl0koyjjfx3te33nsfhdoot8nekfou4a4y4fvbmjzguatfuhz6m2h",
    ("plurality", "hard", 20): "qxpv52zg2xkoyjjfxpte33nsfhdoogvnbkfnv4a4y4rvbm2z5uatfuhz6m2h",
    ("plurality", "hard", 100): "vxpv50zzshkoyjjfxpte33nAfhdoogvnbkhzz4akynfvbmkz5uatfuhz6m2h",
    ("rank", "hard", 20): "txpv50zg20koyjjfxdte33nsfhdootvnekfnu4a4y4fvb2jzguabfuhz6m2x",
    ("rank", "hard", 100): "txpv50zg20koyjjfxdte33nsfhdootvnekfou4a4y4fvb2jzguabfuhz6m2h",
    ("plurality", "soft", 20): "qxpv52zAurnoyjjfx3te33ntfhdoogvnen6nv4a4y4upbm2z5uatfuhz6m2h",
    ("plurality", "soft", 100): "8xpv5bz6uhkoyjjfxpve33ntfh2ooxvnbnhzr2a5ynzvbmkz5uatfuhz6m2h",
    ("rank", "soft", 20): "qxpv508gufkoyjjfx3te33ntfhdoog8nekrnu4a4y4fcb22zguabfuhz6m2h",
    ("rank", "soft", 100): "qxpv508guhkoyjjfx3te33ntfhdoog8nekrnu4a4y4fcbm2zguabfuhz6m2h",
}
"""Answers of the classes of code/main_analysis_plots.ipynb, google-deepmind/visual-memory at commit d379c10.

``PluralityVoting``, ``DistanceWeightedVoting``, ``SoftmaxWeightedVoting``, ``RankWeightedVoting``, with
``get_exclude_set`` at 128, and ``SoftPluralityVoting`` and ``SoftRankVoting`` with ``get_soft_weights``, by the class's
letter. The notebook reads counts of wrong neighbours from a file; here they were counted at 100 and 10 neighbours. Its
slips (see the method) touch none of these forms.
"""


@pytest.mark.parametrize(("vote", "pruning", "k"), list(VISUAL_MEMORY))
def test_visual_memory_answers_as_the_official_code(vote: str, pruning: str, k: int) -> None:
    task, asked = noisy(None)
    found = scores("visual-memory", task, asked[:60], k=k, vote=vote, pruning=pruning).argmax(1)
    assert "".join(LETTERS[c] for c in found.tolist()) == VISUAL_MEMORY[vote, pruning, k]
