"""The shared training loop: what a stopped training goes on with, precision, and early stopping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from bench.core.registry import METHODS
from bench.core.task import Session
from bench.learning.state_io import flatten
from bench.learning.training import Fitted, as_parameter, fit
from bench.learning.training_options import TrainingOptions
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import make


class Stopped(Exception):  # noqa: N818 - it stands for an interrupt
    """A training that is stopped from outside."""


def regression(
    *,
    epochs: int = 8,
    stop_at: int | None = None,
    cosine: bool = False,
    validation: bool = False,
    patience: int | None = None,
    lr: float = 0.05,
    **options: Any,
) -> tuple[torch.Tensor, Fitted, int]:
    """Fit a line by mini-batches; return the weights, what ran, and how many batches it took."""
    g = Stream(3).torch()
    x = torch.randn(40, 3, generator=g)
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(40, generator=g)
    w = as_parameter(torch.zeros(3))
    calls = 0

    def loss(rows: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if stop_at is not None and calls > stop_at:
            raise Stopped
        return ((x[rows] @ w - y[rows]) ** 2).mean()

    def score() -> float:
        with torch.no_grad():
            return -float(((x[:10] @ w - y[:10]) ** 2).mean())

    fitted = fit(
        [w],
        loss,
        40,
        owner="line",
        optimiser=torch.optim.Adam([w], lr=lr, weight_decay=1e-3),
        epochs=epochs,
        batch=16,
        rng=Stream(0).child("fit"),
        cosine=cosine,
        validate=score if validation else None,
        patience=patience,
        options=TrainingOptions(**options),
    )
    return w.detach(), fitted, calls


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("validation", [False, True])
def test_a_stopped_training_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, cosine: bool, validation: bool
) -> None:
    whole, fitted, calls = regression(cosine=cosine, validation=validation)
    often: dict[str, Any] = {"checkpoints": tmp_path, "checkpoint_seconds": 0.0}
    with pytest.raises(Stopped):
        regression(cosine=cosine, validation=validation, stop_at=14, **often)
    assert [p.suffix for p in tmp_path.iterdir()] == [".safetensors"]
    resumed, again, further = regression(cosine=cosine, validation=validation, **often)
    assert torch.equal(resumed, whole)
    assert again == fitted
    assert further < calls


def test_early_stopping_holds_across_an_interrupt(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 40, "validation": True, "patience": 2, "lr": 0.6}
    whole, fitted, _ = regression(**settings)
    assert fitted.epochs < 40
    assert fitted.epochs - fitted.best_epoch == 2
    often: dict[str, Any] = {"checkpoints": tmp_path, "checkpoint_seconds": 0.0}
    first = regression(**settings, **often)
    # All is done; a second call meets the last checkpoint and has nothing left to do.
    second = regression(**settings, **often)
    assert second[2] == 0
    assert torch.equal(first[0], whole)
    assert torch.equal(second[0], whole)


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    often: dict[str, Any] = {"checkpoints": tmp_path, "checkpoint_seconds": 0.0}
    regression(epochs=2, **often)
    _, fitted, calls = regression(epochs=3, **often)
    assert fitted.epochs == 3
    assert calls == 9
    for path in tmp_path.iterdir():
        path.write_bytes(b"half a file")
    assert regression(epochs=3, **often)[2] == 9


def test_no_checkpoint_is_written_before_its_time(tmp_path: Path) -> None:
    regression(checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_bar_of_epochs_is_shown_on_a_terminal_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    regression(progress=True)
    assert "training line" in capsys.readouterr().err
    regression()
    assert "training line" not in capsys.readouterr().err


def test_training_that_diverges_names_the_setting() -> None:
    with pytest.raises(BenchError, match=r"training of line diverged in epoch \d; lower line.lr"):
        regression(lr=1e30)


TRAINED = ("lwf", "replay", "foster", "icarl")


MIXED = TrainingOptions(precision="bf16")


def sessions(name: str, options: TrainingOptions | None = None) -> Callable[[], torch.Tensor]:
    task = toy.task((7, 3, 9), images=False)

    def once() -> torch.Tensor:
        method = make(name, hidden=16, epochs=4, min_steps=4, training_options=options or TrainingOptions())
        return method.score(method.build(task, rng=Stream(0)), task.support.x)

    return once


@pytest.mark.parametrize("name", TRAINED)
def test_trainers_are_deterministic_and_take_mixed_precision(name: str) -> None:
    once = sessions(name)
    plain = once()
    assert torch.equal(plain, once())
    mixed = sessions(name, MIXED)()
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, plain), "the loss was computed in float32 after all"
    assert (mixed.argmax(1) == plain.argmax(1)).float().mean() > 0.9


@pytest.mark.parametrize("name", ["mml", "reco"])
def test_methods_that_train_on_seen_classes_take_mixed_precision(name: str) -> None:
    training = Session(
        task=toy.task((0, 1, 2), support=False),
        queries=toy.cloud([0, 1, 2], 6, toy.dataset().class_names, "hard", spread=0.6),
    )
    method = METHODS.get(name).cls(k=3, epochs=2, lr=1e-3, training_options=MIXED)
    weights = method.train(training, None, rng=Stream(0)).weights
    _, tensors = flatten(weights)
    assert tensors
    assert all(t.dtype == torch.float32 and bool(torch.isfinite(t).all()) for t in tensors.values())


def test_a_training_is_in_float32_unless_it_is_asked_for_less() -> None:
    assert TrainingOptions().precision == "fp32"


def test_a_step_neither_asks_for_its_loss_nor_moves_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either would wait for all that a GPU has to do; an epoch asks once."""
    asked: list[str] = []

    def watch(name: str) -> None:
        plain = getattr(torch.Tensor, name)

        def watched(tensor: torch.Tensor, *arguments: object, **named: object) -> object:
            asked.append(name)
            return plain(tensor, *arguments, **named)

        monkeypatch.setattr(torch.Tensor, name, watched)

    for name in ("__float__", "item", "tolist", "cpu", "to", "numpy"):
        watch(name)
    w = as_parameter(torch.zeros(3))
    x = torch.ones(40, 3)
    told = fit(
        [w],
        lambda rows: ((x[rows] @ w - 1) ** 2).mean(),
        40,
        owner="line",
        optimiser=torch.optim.SGD([w], lr=0.01),
        epochs=2,
        batch=4,
        rng=Stream(0),
    )
    assert told.epochs == 2
    assert asked == ["to", "tolist"] * 2


def test_the_mean_loss_of_an_epoch_weighs_a_short_batch_by_its_rows() -> None:
    x = torch.arange(10.0)
    w = as_parameter(torch.zeros(1))
    told = fit(
        [w],
        lambda rows: x[rows].mean() + 0 * w.sum(),
        10,
        owner="line",
        optimiser=torch.optim.SGD([w], lr=0.01),
        epochs=1,
        batch=4,
        rng=Stream(0),
    )
    assert told.losses == (pytest.approx(4.5),)


def test_precision_is_in_every_record_and_in_the_name_of_its_cells() -> None:
    frames = {}
    for precision in ("fp32", "bf16"):
        frames[precision] = bench.run(
            "supervised",
            ["tip-adapter-f", "protonet"],
            toy.dataset(),
            seeds=1,
            set={"tip-adapter-f.epochs": 1},
            device="cpu",
            precision=precision,
        ).frame
        assert set(frames[precision]["precision"]) == {precision}
        assert frames[precision]["deterministic"].all()
    assert set(frames["fp32"]["cell"]).isdisjoint(frames["bf16"]["cell"])
    assert set(frames["fp32"]["cell"]) == set(
        bench.run(
            "supervised",
            ["tip-adapter-f", "protonet"],
            toy.dataset(),
            seeds=1,
            set={"tip-adapter-f.epochs": 1},
            device="cpu",
        ).frame["cell"]
    )


def test_an_unknown_precision_is_refused_in_one_line() -> None:
    with pytest.raises(BenchError, match=r"^--precision 'fp16' is not one of fp32, bf16"):
        bench.run("supervised", ["protonet"], toy.dataset(), seeds=1, precision="fp16")


def test_without_rows_nothing_is_trained() -> None:
    w = as_parameter(torch.ones(3))
    told = fit(
        [w],
        lambda _: w.sum(),
        0,
        owner="test",
        optimiser=torch.optim.SGD([w], lr=1.0),
        epochs=3,
        batch=4,
        rng=Stream(0),
        cosine=True,
    )
    assert told == Fitted(0, 0, (), ())
    assert torch.equal(w.detach(), torch.ones(3))
