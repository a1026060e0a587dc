"""Every experiment's form for feature packs can be dealt on the real features that it is meant for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.import_features import Options, import_pack
from bench.runner import experiments
from bench.runner.config import RunConfig
from bench.runner.deal import deal_episode
from bench.runner.evaluate import missing_requirement
from bench.runner.plan import plan

NAMES = [name for name in experiments.names() if experiments.read(name).packs is not None]


@pytest.fixture(scope="module")
def packs(real_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packs")
    forms = [experiments.read(name).packs or experiments.Form() for name in NAMES]
    for name in {"imagenet", *(form.data[0] for form in forms)}:
        import_pack(
            [real_features / f"{name}.npz"], real_features / "classes.json", root / name,
            Options(name=name, encoder="ViT-B-32:openai", space="clip-vit-b-32-openai"),
            texts=[real_features / "text_pool.npz"],
        )  # fmt: skip
    return root


@pytest.mark.parametrize("name", NAMES)
def test_its_form_for_feature_packs_is_dealt(
    name: str, packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_PACKS", str(packs))
    form = experiments.read(name).packs
    assert form is not None
    settings = experiments.load(name, form.data[:1])
    assignments = settings.pop("set")
    run = plan(RunConfig(**{**settings, "seeds": 1}, set=assignments, out=tmp_path, experiment=name))
    assert run.episodes
    for deal in run.episodes:
        episode = deal_episode(deal)
        assert [m.label for m in run.methods if missing_requirement(m.recipe.about, episode) is None]
