"""FLOPs, counted where torch runs operations and by formula elsewhere.

A multiply-add is two FLOPs. Two kinds are told apart:

- *products*: matrix products, convolutions, attention, decompositions; what papers and other counters call FLOPs;
- *elementwise*: one FLOP for each floating-point number that an elementwise operation writes or a reduction reads,
  and one for each comparison of a sort or a selection. Class sums, votes and norms are of this kind, and without them
  a method that only averages would cost nothing.

Reading, copying and reshaping count as 0 FLOPs.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
Rule = Callable[[Sequence[Any], Mapping[str, Any], Any], int]
"""Takes an operation's arguments, keywords and result; returns its FLOPs."""


class Counter(TorchDispatchMode):
    """Counts the FLOPs of torch inside ``with counter:``, on this thread and in its backward passes.

    torch's own ``FlopCounterMode`` takes tens of microseconds an operation, keeps track of modules, knows no
    decomposition and nothing of the fused attention that a module runs in evaluation mode. Its formulas are used here
    where they are the only ones.

    Attributes
    ----------
    products, elementwise : int
        FLOPs so far.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here; to wrap each operation against it would import the compiler, which takes seconds.
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products = 0
        self.elementwise = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        given = kwargs or {}
        kind, rule = _RULES.get(func) or _learn(func)
        if kind == "composite":
            # In inference mode such operations arrive whole; elsewhere autograd has taken them apart before.
            with self:
                return func.decompose(*args, **given)
        out = func(*args, **given)
        if kind == "product":
            self.products += rule(args, given, out)
        elif kind == "elementwise":
            self.elementwise += rule(args, given, out)
        return out


def count(function: Callable[[], Any]) -> Counter:
    """Return what a function does, counted."""
    counter = Counter()
    with counter:
        function()
    return counter


def search_flops(q: int, m: int, d: int) -> int:
    """Return the FLOPs of comparing q queries with all of m keys of d dimensions and keeping the best.

    The norms of queries and keys (3 d each), all similarities (2 d a pair), and one comparison a pair to select. It
    is what an exact search must do; how it shares the work between precisions is left out.
    """
    return 3 * d * (m + q) + q * m * (2 * d + 1) if m else 0


# -- products ----------------------------------------------------------------------------------------------------------


def _mm(a: Tensor, b: Tensor) -> int:
    """[..., n, k] by [..., k, m]: 2 n k m a matrix."""
    return int(2 * a.numel() * b.shape[-1])


def _fused_attention(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    """Self-attention of x [b, t, d] in one operation: four projections, and two products of all pairs of tokens.

    It is what ``nn.MultiheadAttention`` runs in evaluation mode without gradients, and unknown to torch's counter.
    """
    (b, t, d), keys = args[0].shape, args[1].shape[1]
    return int(2 * b * d * d * (2 * t + 2 * keys) + 4 * b * t * keys * d)


def _bag(at: int) -> Rule:
    """Return the rule for items [n, d] that are added up by weights, or met by a product, at some places: 2 d a place.

    ``at`` is the place of the items among the arguments; the places follow.
    """
    return lambda args, kwargs, out: 2 * args[at + 1].numel() * args[at].shape[1]


def _square(share: float) -> Rule:
    """Return the rule for a decomposition of [..., n, n] that takes ``share`` n^3."""
    return lambda args, kwargs, out: round(share * args[0].numel() * args[0].shape[-1])


def _qr(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    a, mode = args[0], args[1] if len(args) > 1 else kwargs.get("mode", "reduced")
    long, short = max(a.shape[-2:]), min(a.shape[-2:])
    once = 2 * short * short * (long - short / 3)
    flops: float = (1 if mode == "r" else 2) * once * math.prod(a.shape[:-2])
    return round(flops)


def _svd(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    a = args[0]
    long, short = max(a.shape[-2:]), min(a.shape[-2:])
    return int((6 * long * short**2 + 20 * short**3) * math.prod(a.shape[:-2]))


def _solved(decomposed: float, square: int, right: int) -> Rule:
    """Return the rule for solving with a matrix n x n for r right sides: ``decomposed`` n^3 + 2 n^2 r.

    ``square`` and ``right`` are the places of the matrix and of the right sides [..., n, r] among the arguments.
    """

    def rule(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
        a, b = args[square], args[right]
        n = a.shape[-1]
        return int(decomposed * a.numel() * n + 2 * n * b.numel())

    return rule


def _registered(formula: Callable[..., int]) -> Rule:
    return lambda args, kwargs, out: formula(*args, **kwargs, out_val=out)


_PRODUCTS: dict[Any, Rule] = {
    _aten.mm: lambda args, kwargs, out: _mm(args[0], args[1]),
    _aten.bmm: lambda args, kwargs, out: _mm(args[0], args[1]),
    _aten.addmm: lambda args, kwargs, out: _mm(args[1], args[2]),
    _aten.baddbmm: lambda args, kwargs, out: _mm(args[1], args[2]),
    _aten.addmv: lambda args, kwargs, out: 2 * args[1].numel(),
    _aten.mv: lambda args, kwargs, out: 2 * args[0].numel(),
    _aten.dot: lambda args, kwargs, out: 2 * args[0].numel(),
    _aten.vdot: lambda args, kwargs, out: 2 * args[0].numel(),
    # Items added up by weights, and the products that give the gradient of the weights.
    _aten._embedding_bag: _bag(0),
    _aten._embedding_bag_forward_only: _bag(0),
    _aten._embedding_bag_per_sample_weights_backward: _bag(1),
    _aten.addr: lambda args, kwargs, out: 2 * out.numel(),
    _aten._native_multi_head_attention: _fused_attention,
    # Golub and Van Loan, Matrix Computations, 4th edition, 2013: sections 4.2.5 (Cholesky), 3.2.1 (LU), 5.2.1 (QR),
    # 8.3.3 (symmetric eigenproblem with vectors), 8.6.3 (thin SVD).
    _aten.linalg_cholesky_ex: _square(1 / 3),
    _aten._linalg_eigh: _square(9),
    _aten.linalg_inv_ex: _square(2),
    _aten.linalg_lu_factor_ex: _square(2 / 3),
    _aten._linalg_slogdet: _square(2 / 3),
    _aten._linalg_det: _square(2 / 3),
    _aten.linalg_qr: _qr,
    _aten._linalg_svd: _svd,
    _aten.cholesky_solve: _solved(0, 1, 0),
    _aten._linalg_solve_ex: _solved(2 / 3, 0, 1),
    _aten.linalg_solve_triangular: lambda args, kwargs, out: args[0].shape[-1] * args[1].numel(),
}

# -- elementwise -------------------------------------------------------------------------------------------------------


def _written(per: int = 1) -> Rule:
    """Return the rule for ``per`` FLOPs a floating-point number written."""

    def rule(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
        first = out[0] if isinstance(out, (tuple, list)) else out
        return per * first.numel() if isinstance(first, Tensor) and first.is_floating_point() else 0

    return rule


def _read(per: int = 1, at: int = 0) -> Rule:
    """Return the rule for ``per`` FLOPs a floating-point number read from the argument at a place."""
    return lambda args, kwargs, out: per * args[at].numel() if args[at].is_floating_point() else 0


def _lists(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    return sum(part.numel() for part in args[0])


def _fused_adam(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    """Adam in one operation, as its single steps count: eight numbers written a weight, seven without weight decay."""
    numbers: int = sum(part.numel() for part in args[0])
    return numbers * (8 if kwargs.get("weight_decay") else 7)


def _sorted(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    """Return n log2 n comparisons for each row of n."""
    x = args[0]
    dim = kwargs.get("dim", next((a for a in args[1:] if isinstance(a, int) and not isinstance(a, bool)), -1))
    n = x.shape[dim] if x.ndim else 1
    return int(x.numel() * math.ceil(math.log2(max(n, 2))))


_REDUCTIONS = (
    *("sum", "mean", "amax", "amin", "max", "min", "argmax", "argmin", "cumsum", "prod", "logsumexp", "topk"),
    *("kthvalue", "median", "nansum", "std", "var", "norm"),
)
_ELEMENTWISE: dict[Any, Rule] = {
    **{getattr(_aten, name): _read() for name in _REDUCTIONS},
    _aten.linalg_vector_norm: _read(2),
    _aten.index_add: _read(at=3),
    _aten.scatter_add: _read(at=3),
    _aten.scatter_reduce: _read(at=3),
    _aten._fused_adam: _fused_adam,
    _aten._fused_adamw: _fused_adam,
    _aten.sort: _sorted,
    _aten.argsort: _sorted,
    # The largest, a difference, an exponential, a sum and a division.
    _aten._softmax: _written(5),
    _aten._safe_softmax: _written(5),
    _aten._log_softmax: _written(5),
    _aten._softmax_backward_data: _written(4),
    _aten._log_softmax_backward_data: _written(4),
    # Mean, difference, square, variance, scale, gain and bias.
    _aten.native_layer_norm: _written(7),
    _aten.native_layer_norm_backward: _written(12),
    _aten._cdist_forward: lambda args, kwargs, out: 3 * out.numel() * args[0].shape[-1],
    _aten.sigmoid_backward: _written(3),
}

_COPIES = {_aten.copy, _aten._to_copy, _aten.clone, _aten.fill, _aten.zero, _aten.masked_fill, _aten.where}

_RULES: dict[Any, tuple[str, Rule]] = {}

_TORCHS = "torch.utils.flop_counter"
_WITH_FORMULA = re.compile(r"mm|conv|attention")
"""What stands in the name of every operation that torch itself has a formula for."""


def _formula(packet: Any, name: str) -> Callable[..., int] | None:
    """Return torch's formula for an operation; None if it has none."""
    # Its module imports triton, so that it is asked only where it may know something: of a name like those of the
    # operations that it has formulas for, or because somebody has imported it and may have added others.
    if _TORCHS not in sys.modules and not _WITH_FORMULA.search(name):
        return None
    from torch.utils.flop_counter import flop_registry

    return flop_registry.get(packet)


def _learn(func: Any) -> tuple[str, Rule]:
    """Return what an operation is and how it is counted, remembered for the next time."""
    found: tuple[str, Rule]
    packet = func.overloadpacket
    # ``addmm_`` counts as ``addmm``.
    name = func.name().removeprefix("aten::").partition(".")[0]
    packet = getattr(_aten, name[:-1], packet) if name.endswith("_") and not name.endswith("__") else packet
    if packet in _PRODUCTS:
        found = "product", _PRODUCTS[packet]
    elif (formula := _formula(packet, name)) is not None:
        found = "product", _registered(formula)
    elif func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
        found = "composite", _written(0)
    elif packet in _ELEMENTWISE:
        found = "elementwise", _ELEMENTWISE[packet]
    elif packet not in _COPIES and func.name().startswith("aten::_foreach_"):
        found = "elementwise", _lists
    elif packet not in _COPIES and torch.Tag.pointwise in func.tags:
        found = "elementwise", _written()
    else:
        found = "none", _written(0)
    _RULES[func] = found
    return found
