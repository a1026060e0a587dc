"""What the audit finds of leaks that are known: ``python -m tools.planted_leaks``.

Copies of glyph queries of known kinds are planted, at known rates, into the memory and among images that the encoder
was trained on; sentences that name classes are planted among texts. The audit is asked, once of features alone and once
with the hashes of a pack made from images, and its recall and false alarms are counted by kind. How far what it finds
bounds what it misses is checked on queries that did not set the recall.
"""

from __future__ import annotations

import argparse
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.data.duplicates import audit
from bench.data.glyphs import offtopic, render, simulated_web, texts
from bench.data.glyphs.catalogue import Character, characters
from bench.data.glyphs.dataset import SEED, Size, load
from bench.data.image_hashes import Pixels
from bench.data.images.decode import decode, perceptual_hash
from bench.data.names_in_texts import classes_named
from bench.encoders import load_encoder
from bench.encoders.encoder import Encoder
from bench.functional.linear_map import fit_map
from bench.reports.forms.limits import share_limits
from bench.reports.metrics.leak_bounds import unseen_leaks
from bench.utils.hashing import digest
from bench.utils.random import Stream
from tools.glyphs.training_corpus import SEED as TRAINING_SEED

RATES = (0.01, 0.05, 0.2)
_CALIBRATED = 0.2
"""Share of the queries whose planted copies set the recall; the others are planted at :data:`RATES`."""
_TRAINING = 16
"""Training images of each seen class among which copies are planted."""


def _face(character: Character, split: str, index: int) -> Image.Image:
    """Return the same draw in another face: the faces are turned by one, so that every number drawn is the same."""
    faces = render.faces_with(character.char)
    turned = (*faces[1:], faces[0])
    return Image.fromarray(render.draw(character.char, seed=SEED, split_name=split, index=index, faces=turned))


def _same(character: Character, split: str, index: int) -> Image.Image:
    return Image.fromarray(render.draw(character.char, seed=SEED, split_name=split, index=index))


def _saved(character: Character, split: str, index: int) -> Image.Image:
    file = io.BytesIO()
    _same(character, split, index).save(file, "JPEG", quality=75)
    return Image.open(file).convert("L")


def _scaled(side: int) -> Callable[[Character, str, int], Image.Image]:
    def made(character: Character, split: str, index: int) -> Image.Image:
        return _same(character, split, index).resize((side, side), Image.Resampling.BICUBIC)

    return made


KINDS: dict[str, Callable[[Character, str, int], Image.Image]] = {
    "exact copy": _same,
    "saved as JPEG, quality 75": _saved,
    "resized to 3/4": _scaled(36),
    "resized to 1/2": _scaled(24),
    "the same draw in another face": _face,
}


@dataclass(frozen=True, eq=False)
class Copies:
    """Copies of queries of one kind: features [n, d], and the hashes of each."""

    x: torch.Tensor
    content: list[str]
    perceptual: list[bytes]


@dataclass(frozen=True)
class Counted:
    """What the audit flags: planted queries and others."""

    found: int
    planted: int
    alarms: int
    clean: int


def copies(encoder: Encoder, wanted: Sequence[str], kind: str) -> Copies:
    """Return copies of queries, named ``query/U+0041/0``."""
    by_label = {c.label: c for c in characters()}
    images = []
    for name in wanted:
        split, label, index = name.split("/")
        images.append(KINDS[kind](by_label[label], split, int(index)))
    hashes = [perceptual_hash(image).tobytes() for image in images]
    content = [digest(np.asarray(image)) for image in images]
    return Copies(encoder.encode_images(images), content, hashes)


def planted_in(dataset: Dataset, part: str, names: Sequence[str], x: torch.Tensor) -> Dataset:
    """Return a data set with copies among the memory's images, or among the training images."""
    labels, ids = torch.zeros(len(names), dtype=torch.int64), np.array(names)
    if part == "memory":
        images = Items(x, labels, ids, np.full(len(ids), "planted"))
        return replace(dataset, memory=dataset.memory.add(images=images))
    training = Features.concat([dataset.splits["training"], Features(x, labels, ids, dataset.class_names)])
    return replace(dataset, splits={**dataset.splits, "training": training})


def base(encoder: Encoder, size: Size) -> tuple[Dataset, Pixels]:
    """Return queries, memory and training images without any plant, and the hashes of the first two."""
    drawn = load(size)
    assert drawn.pictures is not None
    read = {name: drawn.pictures.read[name] for name in [*drawn.role("query").ids, *drawn.memory.images.ids]}
    hashes = {str(name): perceptual_hash(decode(data())).tobytes() for name, data in read.items()}
    content = {str(name): digest(np.asarray(decode(data()).convert("L"))) for name, data in read.items()}
    seen = [c for c in characters("seen") if c.name in drawn.class_names]
    images = [
        Image.fromarray(render.draw(c.char, seed=TRAINING_SEED, split_name="train", index=n))
        for c in seen
        for n in range(_TRAINING)
    ]
    ids = np.array([f"training/{c.label}/{n}" for c in seen for n in range(_TRAINING)])
    labels = torch.tensor([drawn.class_names.index(c.name) for c in seen]).repeat_interleave(_TRAINING)
    training = Features(encoder.encode_images(images), labels, ids, drawn.class_names)
    made = replace(
        drawn,
        splits={"query": drawn.splits["query"], "training": training},
        roles={"query": ("query",), "support": ("training",)},
        memory=Memory(drawn.memory.images, Items.empty(drawn.dimension)),
    )
    return made, Pixels(content, hashes)


@dataclass(frozen=True, eq=False)
class Plan:
    """Copies of one kind in one part, with or without hashes."""

    clean: Dataset
    part: str
    copies: Copies
    known: Pixels | None

    def ask(self, queries: Sequence[str], start: int, count: int, asked: Sequence[str]) -> Counted:
        """Return what the audit finds of ``asked`` where ``count`` of the queries from ``start`` on are planted."""
        rows = slice(start, start + count)
        names = queries[rows]
        pixels, ids = self.known, [f"planted/{name}" for name in names]
        if pixels is not None:
            content = dict(zip(ids, self.copies.content[rows], strict=True))
            perceptual = dict(zip(ids, self.copies.perceptual[rows], strict=True))
            pixels = Pixels({**pixels.content, **content}, {**pixels.perceptual, **perceptual})
        planted = planted_in(self.clean, self.part, ids, self.copies.x[rows])
        (overlap,) = (o for o in audit(planted, pixels=pixels).overlaps if (o.of, o.within) == ("query", self.part))
        flagged, own = {pair.item for pair in overlap.pairs} & set(asked), set(names)
        return Counted(len(flagged & own), len(own), len(flagged - own), len(set(asked) - own))


def images_table(encoder: Encoder, size: Size, seed: int) -> Iterator[str]:
    """Yield a Markdown table: recall and false alarms of each kind, and the bound beside what was missed."""
    clean, known = base(encoder, size)
    order = Stream(seed).child("planted").permutation(len(clean.role("query").ids))
    queries = [str(name) for name in clean.role("query").ids[order]]
    head = round(_CALIBRATED * len(queries))
    others = queries[head:]
    made = {kind: copies(encoder, queries[: head + round(max(RATES) * len(others))], kind) for kind in KINDS}
    yield "| planted into | kind | hashes | recall % | false alarms % | rate %: found, missed, bound % |"
    yield "| --- | --- | --- | ---: | ---: | --- |"
    for part, kind, hashes in itertools.product(("memory", "support"), KINDS, (None, known)):
        plan = Plan(clean, part, made[kind], hashes)
        whole = plan.ask(queries, 0, head, queries)
        cells = []
        for rate in RATES:
            found = plan.ask(queries, head, round(rate * len(others)), others)
            flagged = found.found + found.alarms
            most = unseen_leaks(flagged, len(others), whole.found, whole.planted)
            missed = (found.planted - found.found) / len(others)
            cells.append(f"{100 * rate:g}: {100 * flagged / len(others):.1f}, {100 * missed:.2f}, {100 * most:.2f}")
        where = "memory" if part == "memory" else "training images"
        yield (
            f"| {where} | {kind} | {'no' if hashes is None else 'yes'} | {_share(whole.found, whole.planted)} | "
            f"{_share(whole.alarms, whole.clean)} | {'; '.join(cells)} |"
        )


def training_table(encoder: Encoder, size: Size, seed: int) -> Iterator[str]:
    """Yield a Markdown table: what queries that an encoder was trained on are worth to it, and what the audit finds.

    The encoder is the bundled one with a linear layer behind it, trained to bring images to the text of their class:
    seen classes' images, and queries of unseen classes that leaked with their names. The images it was trained on are
    not shown to the audit.
    """
    clean, _ = base(encoder, size)
    training, queries = clean.splits["training"], clean.role("query")
    unseen = queries.of_classes(clean.class_split["unseen"])
    order = torch.from_numpy(Stream(seed).child("trained-on").permutation(len(unseen)))
    yield "| unseen queries trained on | accuracy % of them, without and with | of the others | found by the audit |"
    yield "| ---: | ---: | ---: | ---: |"
    for rate in RATES:
        leaked, rest = order.split([round(rate * len(unseen)), len(unseen) - round(rate * len(unseen))])
        right = []
        for extra in (leaked[:0], leaked):
            some = Features.concat([training, unseen.take(extra)]) if len(extra) else training
            layer = fit_map(some.x, clean.prompts.x[some.labels])
            scores = layer(unseen.x) @ clean.prompts.x[list(clean.class_split["unseen"])].T
            right.append(torch.tensor(clean.class_split["unseen"])[scores.argmax(1)] == unseen.labels)
        moved = replace(
            clean,
            splits={**clean.splits, "query": replace(queries, x=layer(queries.x))},
            memory=Memory(replace(clean.memory.images, x=layer(clean.memory.images.x)), Items.empty(clean.dimension)),
            roles={"query": ("query",)},
        )
        flagged = {pair.item for overlap in audit(moved).overlaps for pair in overlap.pairs}
        found = len(flagged & set(unseen.ids[leaked.numpy()].tolist()))
        cells = [", ".join(f"{100 * float(one[rows].float().mean()):.1f}" for one in right) for rows in (leaked, rest)]
        yield f"| {len(leaked)} of {len(unseen)} | {cells[0]} | {cells[1]} | {found} |"


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda name: name,
    "in capitals, words joined by hyphens": lambda name: name.upper().replace(" ", "-"),
    "words in reverse order": lambda name: " ".join(reversed(name.split())),
    "without its first word": lambda name: name.split(" ", 1)[-1],
}


def texts_table(seed: int, per_class: int = 2) -> Iterator[str]:
    """Yield a Markdown table: how many texts that name an unseen class are found, and how many others are flagged."""
    every, unseen = characters(), characters("unseen")
    names = [c.name for c in every]
    rng = Stream(seed).child("planted-texts").numpy()
    yield "| how the class is named | recall % | another class is flagged % |"
    yield "| --- | ---: | ---: |"
    label_of = {c.name: n for n, c in enumerate(every)}
    for form, write in FORMS.items():
        some = [c for c in unseen for _ in range(per_class)]
        around = [(texts.LEADS[rng.integers(8)], texts.TAILS[rng.integers(8)]) for _ in some]
        lines = [texts.mention(write(c.name), *words) for c, words in zip(some, around, strict=True)]
        found = list(classes_named(lines, names))
        # "on a keyboard" names a class too.
        besides = list(classes_named([texts.mention("", *words) for words in around], names))
        own = [{label_of[c.name]} for c in some]
        right = sum(bool(mine & set(told)) for mine, told in zip(own, found, strict=True))
        odd = sum(bool(set(told) - mine - set(more)) for mine, told, more in zip(own, found, besides, strict=True))
        yield f"| {form} | {_share(right, len(some))} | {_share(odd, len(some))} |"
    plain = [offtopic.sentence(np.random.default_rng(n)) for n in range(1000)]
    alarms = sum(bool(told) for told in classes_named(plain, names))
    yield f"| not at all: everyday sentences | - | {_share(alarms, len(plain))} |"
    web = [
        hit
        for c in unseen[:200]
        for hit in simulated_web.search(
            c, seed=SEED, images=0, sentences=10, wrong_rate=0.2, off_topic_rate=0.2
        ).sentences
    ]
    told = [set(one) for one in classes_named([hit.text for hit in web], names)]
    about = [hit.provenance.subject for hit in web]
    known = [label_of[subject] in one for subject, one in zip(about, told, strict=True) if subject in label_of]
    yield f"| the simulated web's sentences on a class | {_share(sum(known), len(known))} | - |"


def _share(part: int, whole: int) -> str:
    low, high = (100 * float(limit) for limit in share_limits(part, whole))
    return f"{100 * part / whole:.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", type=int, help="unseen classes; fewer of the others too, for a quick look")
    given = parser.parse_args()
    size = Size() if given.classes is None else Size(seen=given.classes, validation=1, unseen=given.classes)
    for line in images_table(load_encoder("glyphs"), size, given.seed):
        print(line, flush=True)
    for line in ["", *training_table(load_encoder("glyphs"), size, given.seed), "", *texts_table(given.seed)]:
        print(line)


if __name__ == "__main__":
    main()
