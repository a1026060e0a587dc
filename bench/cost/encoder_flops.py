"""FLOPs of an encoder on one image, from its configuration alone, without weights or open_clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_BUNDLED = "glyphs"


@cache
def encoder_flops(name: str) -> int | None:
    """Return the FLOPs of the image tower on one image; None for an encoder whose parts are not known.

    Products only (see :mod:`bench.cost.flops`), projection included. Known are the vision transformers and the residual
    networks of CLIP, by open_clip's configurations, and the bundled encoder.

    Parameters
    ----------
    name : str
        As in a data set's card: ``ARCHITECTURE:WEIGHTS`` or ``glyphs``.
    """
    config = _config(name)
    if config is None:
        return None
    vision, out = config["vision_cfg"], int(config["embed_dim"])
    if isinstance(vision.get("layers"), list):
        return residual_network_flops(
            side=vision["image_size"], width=vision["width"], layers=vision["layers"], out=out
        )
    plain = {"head_width", "image_size", "layers", "ls_init_value", "mlp_ratio", "patch_size", "width"}
    if not set(vision) <= plain or not isinstance(vision.get("image_size"), int):
        return None
    return vision_transformer_flops(
        side=vision["image_size"],
        patch=vision["patch_size"],
        width=vision["width"],
        layers=vision["layers"],
        mlp_ratio=vision.get("mlp_ratio", 4.0),
        out=out,
    )


def vision_transformer_flops(
    *, side: int, patch: int, width: int, layers: int, out: int, mlp_ratio: float = 4.0
) -> int:
    """Return the FLOPs of a vision transformer on one square image.

    With p = (side / patch)^2 patches, t = p + 1 tokens and width w: 3 patch^2 w p multiply-adds to embed the patches;
    in each layer (4 + 2 mlp_ratio) w^2 t for the matrices and 2 t^2 w for attention; w out for the projection.
    """
    p = (side // patch) ** 2
    t = p + 1
    layer = (4 * width + 2 * int(mlp_ratio * width)) * width * t + 2 * t * t * width
    return 2 * (3 * patch * patch * width * p + layers * layer + width * out)


def residual_network_flops(*, side: int, width: int, layers: list[int], out: int) -> int:
    """Return the FLOPs of CLIP's modified ResNet on one square image.

    Three convolutions of 3 x 3 for the stem (the first halves the image, a pooling halves it again), bottlenecks that
    pool before their last convolution, and a pooling by attention among all places, of which one query is read.
    """
    half = (side // 2) ** 2
    total = 9 * half * (3 * (width // 2) + (width // 2) ** 2 + (width // 2) * width)
    edge, before = side // 4, width
    for number, blocks in enumerate(layers):
        inner = width * 2**number
        for block in range(blocks):
            stride = 2 if number and not block else 1
            after = edge // stride
            total += edge**2 * (before * inner + 9 * inner * inner) + after**2 * inner * 4 * inner
            if stride > 1 or before != 4 * inner:
                total += after**2 * before * 4 * inner
            edge, before = after, 4 * inner
    t = edge**2 + 1
    return 2 * (total + t * (3 * before + out) * before + 2 * t * t * before)


def _config(name: str) -> Mapping[str, Any] | None:
    if name == _BUNDLED:
        path = Path(__file__).parent / "../encoders/glyphs/encoder.json"
    else:
        # Found without being imported: that alone would take seconds.
        package = find_spec("open_clip")
        if package is None or not package.submodule_search_locations:
            return None
        architecture = name.partition(":")[0].replace("/", "-")
        path = Path(package.submodule_search_locations[0]) / "model_configs" / f"{architecture}.json"
    if not path.is_file():
        return None
    config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config
