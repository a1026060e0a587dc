import torch

from bench.core.task import Session
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import CLASSES, make, queries, scores


def seen() -> Session:
    task = toy.task((0, 1, 2, 4, 5), support=False)
    names = toy.dataset().class_names
    return Session(task=task, queries=toy.cloud(list(task.classes), 20, names, "seen", 0.4))


def test_untrained_fusion_is_zero_shot_classification() -> None:
    task = toy.task(CLASSES, support=False)
    torch.testing.assert_close(
        scores("reco", task, queries()), scores("zero-shot", task, queries()), atol=1e-3, rtol=1e-4
    )


def test_training_lowers_the_loss_it_minimises_and_moves_both_branches() -> None:
    session = seen()
    method = make("reco", epochs=30, k=3, lr=1e-3)
    trained = method.train(session, None, rng=Stream(0))
    assert trained.weights.image.out_weight.abs().max() > 0
    assert trained.weights.text.out_weight.abs().max() > 0

    def loss(recipe: object) -> float:
        state = recipe.build(session.task, rng=Stream(0))  # type: ignore[attr-defined]
        logits = recipe.score(state, session.queries.x)  # type: ignore[attr-defined]
        return float(torch.nn.functional.cross_entropy(logits, session.targets))

    assert loss(trained) < loss(method) - 0.01


def test_fusion_equals_a_transformer_layer_read_at_the_query() -> None:
    task = toy.task(CLASSES, support=False)
    method = make("reco", k=3, epochs=5, lr=1e-2).train(seen(), None, rng=Stream(0))
    state, b, f = method.build(task, rng=Stream(0)), method.weights.image, queries()[:1] * 10
    memory, prompts = task.memory.images, task.prompts
    near = (memory.x / memory.x.norm(dim=1, keepdim=True) @ queries()[0]).argsort(descending=True)[:3]
    texts = torch.cat([prompts.x[prompts.labels == memory.labels[at]] for at in near])
    tokens = torch.cat([f, 10 * texts / texts.norm(dim=1, keepdim=True)])

    def norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() * weight + bias

    q = norm(f, b.norm_query_weight, b.norm_query_bias) @ b.query_weight.T + b.query_bias
    k = norm(tokens, b.norm_key_weight, b.norm_key_bias) @ b.key_weight.T + b.key_bias
    v = norm(tokens, b.norm_value_weight, b.norm_value_bias) @ b.value_weight.T + b.value_bias
    g = f + (q @ k.T / toy.DIMENSION**0.5).softmax(1) @ v @ b.out_weight.T + b.out_bias
    inner = norm(g, b.norm_mlp_weight, b.norm_mlp_bias) @ b.fc_weight.T + b.fc_bias
    h = g + (inner * torch.sigmoid(1.702 * inner)) @ b.proj_weight.T + b.proj_bias
    near = method._columns_near(state.image, queries()[:1])
    found = method._fuse(b, queries()[:1], state.image.partners, near)
    torch.testing.assert_close(found, h / h.norm(), atol=1e-5, rtol=1e-4)


def test_a_training_image_that_is_in_the_memory_does_not_retrieve_itself() -> None:
    task = toy.task(CLASSES, support=False)
    method = make("reco", k=2)
    side = method.build(task, rng=Stream(0)).image
    # Each item is given a class of its own, so that the classes tell which items were retrieved.
    own = type(side)(side.items, torch.eye(len(side.items)), torch.arange(len(side.items)))
    near = method._columns_near(own, side.items.x.float(), side.items.ids)
    assert near.shape[1] == 2
    assert not near.eq(torch.arange(len(side.items)).unsqueeze(1)).any()
