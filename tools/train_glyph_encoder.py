"""Train the bundled encoder on the seen characters, or measure the shipped one.

``python -m tools.train_glyph_encoder`` trains and writes vocabulary and weights;
``--evaluate`` prints the numbers of the weights that are there.
"""

from __future__ import annotations

import copy
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import open_clip
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch.nn import functional

from bench.data.glyphs import offtopic, render
from bench.data.glyphs.catalogue import Split
from bench.encoders.glyphs import model, stored, tokenizer
from bench.encoders.glyphs.pixels import pixels
from bench.utils.atomic import write_atomically
from bench.utils.random import labelled_generator
from tools.glyphs import evaluate_encoder
from tools.glyphs.training_corpus import SEED, corpus

DRAWS = 64  # images held for each seen class
CLASSES = 240  # classes in a batch, each with two images
STRAY = 24  # off-topic sentences in a batch, which no image belongs to
RATE, DECAY, WARMUP = 2e-3, 0.05, 100
SMOOTHING = 0.05
VIEWS_WEIGHT, VIEWS_SCALE = 0.5, 10.0
EMA = 0.998
MAX_LOGIT_SCALE = math.log(60.0)


def _train_images(key: str) -> npt.NDArray[np.uint8]:
    """Draw the pool of one class, or of one kind of off-topic picture."""
    if key in offtopic.PICTURES:
        rngs = (labelled_generator(SEED, "train", key, i) for i in range(DRAWS))
        return np.stack([offtopic.picture(rng, key) for rng in rngs])
    return evaluate_encoder.draws(key, "train", DRAWS, render.FACES, seed=SEED)


def pool(keys: list[str], workers: int) -> npt.NDArray[np.uint8]:
    """Draw all training images: uint8, shape (keys, DRAWS, side, side)."""
    result = np.empty((len(keys), DRAWS, render.SIDE, render.SIDE), dtype=np.uint8)
    with ProcessPoolExecutor(workers) as executor:
        for row, images in zip(result, executor.map(_train_images, keys, chunksize=16), strict=True):
            row[:] = images
    return result


def batch_rows(step: int, classes: int) -> npt.NDArray[np.int64]:
    """Choose the classes of a step: without repeats in an epoch, which leaves less than a batch out."""
    per_epoch = classes // CLASSES
    order = labelled_generator(SEED, "epoch", step // per_epoch).permutation(classes)
    start = step % per_epoch * CLASSES
    return order[start : start + CLASSES]


def loss_of(model: open_clip.CLIP, images: torch.Tensor, tokenized: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Contrast images with texts, and the two images of a class with other images.

    Parameters
    ----------
    model
        The model in training.
    images
        Shape (2 n, 3, side, side): first one image of each class, then another.
    tokenized
        Shape (m, context_length), m >= n: the texts of the n classes, then others.
    labels
        Shape (2 n): the row of the text that belongs to each image.
    """
    with torch.autocast("cpu", torch.bfloat16):
        seen = model.encode_image(images)
        read = model.encode_text(tokenized)
    seen = functional.normalize(seen.float(), dim=-1)
    read = functional.normalize(read.float(), dim=-1)
    logits = model.logit_scale.exp() * seen @ read.T
    half = len(images) // 2
    to_text = functional.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
    targets = functional.one_hot(labels, len(read)).float().T[:half] / 2
    to_image = functional.cross_entropy(logits.T[:half], targets, label_smoothing=SMOOTHING)
    first, second = seen[:half], seen[half:]
    views = VIEWS_SCALE * first @ second.T
    own = labels[:half]
    between = functional.cross_entropy(views, own) + functional.cross_entropy(views.T, own)
    return (to_text + to_image + VIEWS_WEIGHT * between) / 2


class Trainer:
    """Model, averaged model and optimizer, which can be stored and resumed."""

    def __init__(self, model: open_clip.CLIP, steps: int) -> None:
        self.model, self.steps, self.step = model, steps, 0
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        decayed = [p for p in model.parameters() if p.ndim >= 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))

    def update(self, loss: torch.Tensor) -> None:
        """Take one step down the gradient, and move the average along."""
        progress = self.step / self.steps
        rate = RATE * min(1.0, (self.step + 1) / WARMUP) * (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(EMA, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
            new = self.model.state_dict()
            for name, tensor in self.average.state_dict().items():
                if tensor.is_floating_point():
                    tensor.lerp_(new[name], 1 - keep)

    def store(self, path: Path) -> None:
        """Write all state as safetensors."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, entry in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{i}.{k}": v for k, v in entry.items()}
        contiguous = {k: v.contiguous().clone() for k, v in state.items()}
        write_atomically(path, save(contiguous, {"step": str(self.step)}))

    def resume(self, path: Path) -> None:
        """Read what :meth:`store` wrote."""
        with safe_open(path, "pt") as file:
            self.step = int(file.metadata()["step"])
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        for prefix, module in (("model.", self.model), ("average.", self.average)):
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            module.load_state_dict(own)
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimizer."):
                _, i, name = key.split(".")
                moments.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def train(steps: int, checkpoint: Path, report: int, workers: int) -> None:
    """Train from the checkpoint on, if there is one, and ship the averaged weights."""
    data = corpus()
    vocabulary = tokenizer.build_vocabulary(data.all_texts(), minimum=2)
    config = stored.read_config()
    config["text_cfg"]["vocab_size"] = len(vocabulary)
    write_atomically(stored.CONFIG_FILE, json.dumps(config, indent=2) + "\n")
    write_atomically(stored.VOCABULARY_FILE, "\n".join(vocabulary) + "\n")
    tokenise = tokenizer.Tokenizer(vocabulary, config["text_cfg"]["context_length"])
    side = config["vision_cfg"]["image_size"]
    trainer = Trainer(model.build(config, torch.Generator().manual_seed(SEED)), steps)
    if checkpoint.exists():
        trainer.resume(checkpoint)
    kinds = list(offtopic.PICTURES)
    images = pool([c.char for c in data.seen] + kinds, workers)
    others = np.arange(len(data.seen), len(images))
    labels = torch.arange(CLASSES + len(kinds)).repeat(2)
    started, first = time.monotonic(), trainer.step
    while trainer.step < steps:
        rng = labelled_generator(SEED, "step", trainer.step)
        rows = batch_rows(trainer.step, len(data.seen))
        read = [data.text(int(row), rng) for row in rows] + list(offtopic.PICTURES.values())
        read += [offtopic.sentence(rng) for _ in range(STRAY)]
        both = np.tile(np.concatenate([rows, others]), 2)
        chosen = images[both, rng.integers(DRAWS, size=len(both))]
        loss = loss_of(trainer.model, pixels(chosen, side), tokenise(read), labels)
        trainer.update(loss)
        if trainer.step % 20 == 0:
            pace = (time.monotonic() - started) / (trainer.step - first)
            scale = float(trainer.model.logit_scale.detach().exp())
            click.echo(f"step {trainer.step} loss {float(loss.detach()):.3f} scale {scale:.1f} {pace:.2f} s/step")
        if trainer.step % report == 0 or trainer.step == steps:
            trainer.store(checkpoint)
            write_atomically(stored.WEIGHTS_FILE, model.serialise(trainer.average))
            print_measures("validation", 8)


def print_measures(split: Split, per_class: int) -> None:
    """Measure the shipped weights on one split, and print the shares."""
    for name, share in evaluate_encoder.accuracy(model.load(), split, per_class).items():
        click.echo(f"{split} {name} {100 * share:.1f} %")


@click.command()
@click.option("--evaluate", is_flag=True, help="Measure the shipped weights; train nothing.")
@click.option("--steps", default=600, show_default=True, help="Steps of the whole schedule.")
@click.option("--report", default=200, show_default=True, help="Steps between checkpoints.")
@click.option("--workers", default=1, show_default=True, help="Threads, and processes that draw.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    default=Path("glyph-encoder-checkpoint.safetensors"),
    show_default=True,
    help="File to keep the state of training in, and to resume from.",
)
def main(evaluate: bool, steps: int, report: int, workers: int, checkpoint: Path) -> None:
    """Train the bundled encoder, or measure it with --evaluate."""
    torch.set_num_threads(workers)
    if evaluate:
        print_measures("validation", 16)
        print_measures("unseen", 16)
    else:
        train(steps, checkpoint, report, workers)


if __name__ == "__main__":
    main()
