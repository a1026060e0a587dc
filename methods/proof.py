"""PROOF: a projection a session and modality, and attention over images, texts, prototypes and prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.features import Features
from bench.core.registry import method
from bench.core.state_bytes import EXEMPLARS, STATISTICS
from bench.core.task import Task
from bench.functional.classwise import class_means, normalise, unit_rows
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.exemplars import keep_features
from bench.learning.incremental import new_images
from bench.learning.training import LAST_EPOCH, as_parameter, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream

Start = Literal["identity", "drawn"]
"""How projections start: the first as the identity and later ones at zero, or all drawn as in the code."""

_PROMPTS = 3
_ROWS = 1 << 24
"""Numbers of fused texts and prototypes that are held at a time: 64 MiB."""


@dataclass(frozen=True, eq=False)
class Net:
    """The weights: projections of s sessions, prompts, and one-head attention.

    Attributes
    ----------
    images, texts : Tensor [s, d, d]
        Projections, with biases [s, d].
    prompts : Tensor [3 s, d]
    query, key, value, out : Tensor [d, d]
    """

    stored_as: ClassVar = "weights"

    images: Tensor
    image_biases: Tensor
    texts: Tensor
    text_biases: Tensor
    prompts: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor
    out_bias: Tensor
    norm: Tensor
    norm_bias: Tensor

    @staticmethod
    def initial(d: int, device: torch.device, rng: Stream) -> Net:
        """Return weights without a session: attention drawn as in the code, layer normalisation at its identity."""
        draw = rng.torch()

        def normal(deviation: float) -> Tensor:
            return (deviation * torch.randn(d, d, generator=draw)).to(device)

        none, plain = torch.zeros(0, d, device=device), torch.zeros(0, d, d, device=device)
        wide = math.sqrt(1 / d)
        bound = torch.empty(d).uniform_(-wide, wide, generator=draw).to(device)
        query, key, value, out = (normal(wide) for _ in range(4))
        ones, zeros = torch.ones(d, device=device), torch.zeros(d, device=device)
        return Net(plain, none, plain, none, none, query, key, value, out, bound, ones, zeros)

    def grown(self, rng: Stream, start: Start) -> Net:
        """Return the weights with a projection of each modality and three prompts more."""
        d, draw, device = len(self.query), rng.torch(), self.query.device
        bound = 1 / math.sqrt(d)

        def uniform(*shape: int) -> Tensor:
            drawn = torch.empty(*shape).uniform_(-bound, bound, generator=draw).to(device)
            return drawn if start == "drawn" else torch.zeros_like(drawn)

        first = start == "identity" and not len(self.images)
        eye = torch.eye(d, device=device) if first else torch.zeros(d, d, device=device)

        return replace(
            self,
            images=torch.cat([self.images, uniform(1, d, d) + eye]),
            image_biases=torch.cat([self.image_biases, uniform(1, d)]),
            texts=torch.cat([self.texts, uniform(1, d, d) + eye]),
            text_biases=torch.cat([self.text_biases, uniform(1, d)]),
            prompts=torch.cat([self.prompts, torch.randn(_PROMPTS, d, generator=draw).to(device)]),
        )

    def image(self, x: Tensor) -> Tensor:
        """Return projected images at unit norm."""
        return F.normalize(x @ self.images.sum(0).T + self.image_biases.sum(0), dim=-1)

    def text(self, x: Tensor) -> Tensor:
        """Return projected texts at unit norm."""
        return F.normalize(x @ self.texts.sum(0).T + self.text_biases.sum(0), dim=-1)

    def fused(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return images [b, d] and what they are compared with [n, d], each image fused with all of it alone.

        Self-attention over an image and the n others, of which an image changes one key: what the n say to one another
        is the same for all images, and is computed once. [b, d] and [b, n, d].
        """
        scale = 1 / math.sqrt(len(self.query))
        query, key, value = known @ self.query.T, known @ self.key.T, known @ self.value.T @ self.out.T
        own_query, own_key, own_value = x @ self.query.T, x @ self.key.T, x @ self.value.T @ self.out.T
        among = scale * query @ key.T
        share, mixed = among.logsumexp(1), among.softmax(1) @ value
        to_image = scale * own_key @ query.T
        weight = torch.sigmoid(to_image - share).unsqueeze(2)
        others = (1 - weight) * mixed + weight * own_value.unsqueeze(1) + known
        alone = torch.cat([scale * (own_query * own_key).sum(1, keepdim=True), scale * own_query @ key.T], 1).softmax(1)
        image = alone[:, :1] * own_value + alone[:, 1:] @ value + x
        return self._normed(image), self._normed(others)

    def _normed(self, x: Tensor) -> Tensor:
        return F.layer_norm(x + self.out_bias, (x.shape[-1],), self.norm, self.norm_bias)

    def logits(self, x: Tensor, texts: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused images with fused texts and with fused prototypes, [b, c] each; all at unit norm before."""
        c = len(texts)
        image, others = self.fused(x, torch.cat([texts, prototypes, self.prompts]))
        both = torch.einsum("bd,bnd->bn", image, others[:, : 2 * c])
        return both[:, :c], both[:, c:]


@dataclass(frozen=True, eq=False)
class Fused:
    """The weights, class texts and prototypes [c, d], and the exemplars."""

    net: Net
    texts: Tensor = field(metadata=STATISTICS)
    prototypes: Tensor = field(metadata=STATISTICS)
    exemplars: Features = field(metadata=EXEMPLARS)


@method(
    "proof",
    paper="Zhou et al., Learning without Forgetting for Vision-Language Models, TPAMI 2025, arXiv:2305.19270",
    equation="CE(fused image . texts) + CE(fused image . prototypes) + symmetric CLIP loss; answers add projected "
    "image . texts to both",
    adapted="an image is fused with texts and prototypes alone, where the code averages fused texts over the batch, by "
    "which an answer depends on the other queries; no dropout; projections start at the identity (start=drawn draws "
    "them as the code does, which few images cannot mend); decay and momentum as in LAMDA-CL/C3Box; exemplars follow "
    "the run's budget, and 20 of a class where it sets none",
    needs=("images", "prompts"),
)
@dataclass(frozen=True, kw_only=True)
class Proof:
    """Add a linear projection a session to images and to texts, and fuse both with prototypes and learnt prompts.

    As the official code has it (zhoudw-zdw/PROOF, commit 0bb2052): earlier projections of images and earlier prompts
    are frozen, those of texts are not; prototypes are class means of unit features of the session's own images;
    attention is one head with a residual and layer normalisation; image and class logits are not scaled. SGD with rate
    1e-3, momentum 0.9 and decay 0.05, a cosine, batch 64, 10 epochs, on new images and exemplars.
    """

    start: Start = "identity"
    per_class: Annotated[int, Ge(0)] = 20
    lr: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 0.05
    epochs: Annotated[int, Ge(1)] = 10
    batch: Annotated[int, Ge(1)] = 64
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def build(self, task: Task, *, rng: Stream) -> Fused:
        """Return the state after the first session."""
        net = Net.initial(task.dimension, task.device, rng.child("attention"))
        none = torch.zeros(0, task.dimension, device=task.device)
        return self._session(Fused(net, none, none, task.support.emptied()), task, rng)

    def extend(self, state: Fused, task: Task, *, rng: Stream) -> Fused:
        """Return the state after a further session."""
        return self._session(state, task, rng)

    def _session(self, old: Fused, task: Task, rng: Stream) -> Fused:
        texts, new, known = prompt_matrix(task), new_images(task), len(old.prototypes)
        assert texts is not None
        own = normalise(class_means(unit_rows(new.x), task.columns(new.labels), task.n_classes))
        prototypes = torch.cat([old.prototypes, own[known:]])
        data = Features.concat([old.exemplars, new]) if len(old.exemplars) else new
        x, columns = unit_rows(data.x), task.columns(data.labels)
        grown = old.net.grown(rng.child("session"), self.start)
        together, leaves = trainable(grown, known > 0)

        def loss(rows: Tensor) -> Tensor:
            rows, net = rows.to(x.device), together()
            image, said, wanted = net.image(x[rows]), net.text(texts), columns[rows]
            by_text, by_prototype = net.logits(image, said, net.image(prototypes))
            pairs = LOGIT_SCALE * image @ said[wanted].T
            each = torch.arange(len(rows), device=x.device)
            contrast = (F.cross_entropy(pairs, each) + F.cross_entropy(pairs.T, each)) / 2
            return F.cross_entropy(by_text, wanted) + F.cross_entropy(by_prototype, wanted) + contrast

        fit(
            leaves,
            loss,
            len(x),
            owner="proof",
            optimiser=torch.optim.SGD(leaves, lr=self.lr, momentum=0.9, weight_decay=self.weight_decay),
            epochs=self.epochs,
            batch=self.batch,
            cosine=True,
            rng=rng.child("fit"),
            options=self.training_options,
        )
        trained = together()
        made = Net(*(getattr(trained, part.name).detach() for part in fields(trained)))
        quota = task.quota() if task.budget.limited else self.per_class
        return Fused(made, texts, prototypes, keep_features(data, quota))

    def score(self, state: Fused, queries: Tensor) -> Tensor:
        """Return the sum of three cosines and products, [q, c]."""
        net = state.net
        said, prototypes = net.text(state.texts), net.image(state.prototypes)
        rows = max(1, _ROWS // ((2 * len(said) + len(net.prompts)) * len(net.query)))
        blocks = []
        for x in net.image(normalise(queries)).split(rows):
            by_text, by_prototype = net.logits(x, said, prototypes)
            blocks.append(x @ said.T + by_text + by_prototype)
        return torch.cat(blocks)

    def describe(self, state: Fused) -> dict[str, Any]:
        """Return how many projections there are of each modality."""
        return {"projections": len(state.net.images), **LAST_EPOCH}


def trainable(net: Net, later: bool) -> tuple[Callable[[], Net], Sequence[Tensor]]:
    """Return what puts the weights together, and the leaves that are trained.

    Those are all but earlier projections of images and earlier prompts. Each projection of texts takes a step of its
    own, as in the code.
    """
    parts = {part.name: getattr(net, part.name) for part in fields(net)}
    sizes = {"images": 1, "image_biases": 1, "prompts": _PROMPTS} if later else {}
    leaves = {name: as_parameter(value[-sizes[name] :] if name in sizes else value) for name, value in parts.items()}

    def together() -> Net:
        frozen = {name: parts[name][: -sizes[name]] for name in sizes}
        return Net(**{**leaves, **{name: torch.cat([frozen[name], leaves[name]]) for name in sizes}})

    return together, list(leaves.values())
