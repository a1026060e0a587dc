"""What the memory-modular learner is held to on real CLIP features with a noisy memory, as the findings have it.

BENCH_FULL_SPEED=1 pytest tests/real/test_trained_block.py -s
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.import_features import Options, import_pack
from bench.runner.api import run
from tests.speed.quiet import needs_quiet


@needs_quiet
@pytest.mark.parametrize(
    ("name", "split"), [("imagenet", "shot4"), ("oxford_pets", "shot16"), ("oxford_flowers", "shot16")]
)
def test_it_is_not_half_a_point_below_what_it_adds_to(
    name: str, split: str, real_features: Path, tmp_path: Path
) -> None:
    """ImageNet alone has a text for every class, and zero-shot with it."""
    for one in (name, "sun397"):
        import_pack(
            [real_features / f"{one}.npz"], real_features / "classes.json", tmp_path / one,
            Options(name=one, encoder="ViT-B-32:openai", space="clip-vit-b-32-openai"),
            texts=[real_features / "text_pool.npz"],
        )  # fmt: skip
    with (tmp_path / name / "pack.yaml").open("a") as manifest:
        manifest.write(
            f"memory:\n  seed: 0\n  images:\n  - {{split: {split}, wrong_class_rate: 0.2}}\n"
            "  - {pack: ../sun397, split: shot8, off_topic_share: 0.1}\n"
        )
    with_texts = name == "imagenet"
    methods = ["mml", "mml-no-knn", "mml-prototypes", *(["mml:image_weight=auto", "zero-shot"] if with_texts else [])]
    frame = run("web-zero-shot", methods, tmp_path / name, seeds=5, device="cpu", calibrate=False, progress=False)
    frame["accuracy"] = 100 * frame["n_correct"] / frame["n_queries"]
    reached = frame.groupby("method")["accuracy"].mean()
    print(name, reached.round(2).to_dict())
    assert reached["mml"] >= max(reached["mml-no-knn"], reached["mml-prototypes"]) - 0.5
    if with_texts:
        assert reached["mml(image_weight=auto)"] >= reached["zero-shot"] - 0.5
