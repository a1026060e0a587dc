"""The bundled encoder on the pretend card: the features of the CPU, within the tolerance that two batch sizes have."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.imports import ROOT

# The stand-in for a tensor cannot be made in inference mode, which the encoder takes up when it is imported; without
# gradients it computes the same.
CODE = """
import numpy as np
import torch
torch.inference_mode = lambda mode=True: torch.no_grad() if mode else torch.enable_grad()
from PIL import Image
from bench.encoders import BATCH_TOLERANCE, load_encoder
from tests.pretend.device import pretend_cuda

rng = np.random.default_rng(0)
images = [Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)) for _ in range(8)]
here = load_encoder("glyphs").encode_images(images)
pinned = []
pin = torch.Tensor.pin_memory
torch.Tensor.pin_memory = lambda x: (pinned.append(len(x)), pin(x))[1]
with pretend_cuda() as counts:
    encoder = load_encoder("glyphs", device="cuda")
    with counts.during() as one:
        there = encoder.encode_images(images, batch=1)
print(float((there - here).abs().max()) <= BATCH_TOLERANCE)
print(pinned == [1] * len(images))
# The card is waited for once in 16 batches, and not at each.
print([n for line, n in one.waits.items() if "encoders/encoder.py" in line])
with pretend_cuda() as counts, counts.during() as more:
    encoder.encode_images(images * 5, batch=1)
print(sum(n for line, n in more.waits.items() if "encoders/encoder.py" in line))
"""


def test_the_bundled_encoder_gives_the_features_of_the_cpu_from_pinned_images_in_few_waits() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "[1]", "3"]
