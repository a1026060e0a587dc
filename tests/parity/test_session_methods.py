"""proof and rapf against the arrangement of their official code."""

import dataclasses

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from bench.functional.classwise import class_means, normalise
from bench.learning.class_texts import prompt_matrix
from bench.methods.proof import trainable
from bench.methods.rapf import fuse
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import make, queries


def sessions():
    """Return two tasks: classes 7 and 3, then 9 beside them."""
    data = toy.dataset(images=False)
    first = toy.task((7, 3), images=False)
    later = toy.task((7, 3, 9), images=False)
    return first, dataclasses.replace(later, support=data.splits["train"].of_classes((9,)), session=1)


def official(net, x, texts, prototypes):
    """Return the answers of Proof_Net with a batch of one: attention over [image, texts, prototypes, prompts]."""
    d, c, found = x.shape[1], len(texts), []
    image = F.normalize(sum(F.linear(x, w, b) for w, b in zip(net.images, net.image_biases, strict=True)), dim=1)
    said = F.normalize(sum(F.linear(texts, w, b) for w, b in zip(net.texts, net.text_biases, strict=True)), dim=1)
    known = F.normalize(
        sum(F.linear(prototypes, w, b) for w, b in zip(net.images, net.image_biases, strict=True)), dim=1
    )
    for row in image:
        tokens = torch.cat([row.unsqueeze(0), said, known, net.prompts])
        q, k, v = (F.linear(tokens, w) for w in (net.query, net.key, net.value))
        out = F.linear((q @ k.T / d**0.5).softmax(1) @ v, net.out, net.out_bias)
        out = F.layer_norm(out + tokens, (d,), net.norm, net.norm_bias)
        found.append(row @ said.T + out[0] @ out[1 : 1 + c].T + out[0] @ out[1 + c : 1 + 2 * c].T)
    return torch.stack(found)


def test_proof_answers_as_the_official_network_run_with_a_batch_of_one() -> None:
    (first, later), method = sessions(), make("proof", epochs=2)
    state = method.extend(method.build(first, rng=Stream(0)), later, rng=Stream(1))
    assert state.net.images.shape[0] == state.net.texts.shape[0] == 2
    assert len(state.net.prompts) == 6
    expected = official(state.net, queries(), prompt_matrix(later), state.prototypes)
    torch.testing.assert_close(method.score(state, queries()), expected, atol=1e-4, rtol=1e-4)


def test_proof_freezes_earlier_projections_of_images_and_earlier_prompts_alone() -> None:
    (first, later), method = sessions(), make("proof", epochs=2, lr=0.1)
    one = method.build(first, rng=Stream(0))
    two = method.extend(one, later, rng=Stream(1))
    assert torch.equal(two.net.images[0], one.net.images[0])
    assert torch.equal(two.net.image_biases[0], one.net.image_biases[0])
    assert torch.equal(two.net.prompts[:3], one.net.prompts)
    assert not torch.equal(two.net.texts[0], one.net.texts[0])
    assert not torch.equal(two.net.query, one.net.query)
    together, leaves = trainable(two.net, later=True)
    assert len(leaves) == 12
    assert torch.equal(together().images, two.net.images)


def test_prototypes_of_proof_are_those_of_the_session_in_which_a_class_came() -> None:
    (first, later), method = sessions(), make("proof", epochs=1)
    one = method.build(first, rng=Stream(0))
    two = method.extend(one, later, rng=Stream(1))
    own = normalise(class_means(normalise(later.support.x), later.columns(later.support.labels), 3))[2]
    assert torch.equal(two.prototypes[:2], one.prototypes)
    torch.testing.assert_close(two.prototypes[2], own)
    assert set(two.exemplars.labels.tolist()) == {3, 7, 9}


def test_rapf_fuses_as_mix_matrix_does() -> None:
    rng = torch.Generator().manual_seed(0)
    old, new = torch.randn(8, 8, generator=rng), torch.randn(8, 8, generator=rng)
    u, s, v = np.linalg.svd(old.numpy())
    p, before = u.T @ new.numpy(), np.diag(s) @ v
    mask = np.abs(p - before)
    mask = np.clip(mask / mask.max() + 0.6, None, 1)
    expected = u @ (p * mask + before * (1 - mask))
    torch.testing.assert_close(fuse(old, new, 0.6), torch.from_numpy(expected), atol=1e-4, rtol=1e-4)


def test_the_first_session_of_rapf_is_adam_on_cosines_to_texts() -> None:
    (first, _), method = sessions(), make("rapf", epochs=6, batch=5)
    texts, x, columns = prompt_matrix(first), first.support.x, first.columns(first.support.labels)
    state = method.build(first, rng=Stream(0))
    adapter = torch.eye(toy.DIMENSION, requires_grad=True)
    optimiser = torch.optim.Adam([adapter], lr=1e-3)
    for epoch in range(1, 7):
        if epoch == 5:
            optimiser.param_groups[0]["lr"] *= 0.1
        for rows in torch.from_numpy(Stream(0).child("fit", "order", epoch).permutation(len(x))).split(5):
            optimiser.zero_grad()
            F.cross_entropy(100 * F.normalize(x[rows] @ adapter.T, dim=1) @ texts.T, columns[rows]).backward()
            optimiser.step()
    torch.testing.assert_close(state.adapter, adapter.detach(), atol=1e-6, rtol=1e-5)
    for column in range(2):
        own = x[columns == column]
        torch.testing.assert_close(state.means[column], own.mean(0))
        covariance = state.factors[column] @ state.factors[column].T
        torch.testing.assert_close(covariance, torch.cov(own.T) + 1e-4 * torch.eye(toy.DIMENSION), atol=1e-6, rtol=1e-4)


def test_rapf_replays_from_gaussians_and_holds_old_classes_near_new_ones() -> None:
    (first, later), method = sessions(), make("rapf", near=9.0, pairs=300, replay=400)
    old = method.build(first, rng=Stream(0))
    x, y = method._replayed(old, 3, Stream(2))
    assert x.shape == (2400, toy.DIMENSION)
    for column in y.unique().tolist():
        torch.testing.assert_close(x[y == column].mean(0), old.means[column], atol=0.05, rtol=0.1)
    hard, own, new = method._hard(old, prompt_matrix(later), 2, Stream(3))
    assert own.tolist() == [0] * 300 + [1] * 300
    assert new.unique().tolist() == [2]
    torch.testing.assert_close(hard[:300].mean(0), old.means[0], atol=0.05, rtol=0.1)
    far = make("rapf", near=0.0)
    assert not len(far._hard(old, prompt_matrix(later), 2, Stream(3))[0])
    state = method.extend(old, later, rng=Stream(1))
    assert torch.equal(state.means[:2], old.means)
    assert state.factors.shape == (3, toy.DIMENSION, toy.DIMENSION)
