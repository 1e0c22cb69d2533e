"""The resize in torch against Pillow itself, bit for bit, and its weights against fractions written by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from galaxy_triton.config.schema import Preprocess
from galaxy_triton.data.images import preprocess_image
from galaxy_triton.predict.pillow_resize import PillowResize, bilinear_weights

# The recipes' own; no crop; an odd border; primes; one pixel from many and many from one; upwards; no change.
SIZES = [(424, 256, 80), (131, 100, 37), (97, 97, 31), (40, 40, 1), (1, 1, 5), (31, 20, 47), (24, 24, 24)]


@pytest.mark.parametrize(("frame", "crop", "size"), SIZES)
@pytest.mark.parametrize("values", ["any", "black and white"])
def test_pillow_resize(frame: int, crop: int, size: int, values: str) -> None:
    """Noise is the hardest image: every sum comes near a place where it is rounded."""
    frames = np.random.default_rng(frame).integers(0, 256, (2, frame, frame, 3), dtype=np.uint8)
    if values != "any":
        frames = np.where(frames > 127, np.uint8(255), np.uint8(0))
    preprocess = Preprocess(frame, crop, size)
    resized = PillowResize(preprocess)(torch.from_numpy(frames).permute(0, 3, 1, 2))
    wanted = np.stack([preprocess_image(Image.fromarray(each), preprocess) for each in frames])
    np.testing.assert_array_equal(resized.permute(0, 2, 3, 1).numpy(), wanted)


def test_bilinear_weights() -> None:
    """Four pixels to two: distances of 1/2, 1/2 and 3/2 pixels from the middle of a triangle two pixels a side."""
    sevenths = torch.tensor([[3, 3, 1, 0], [0, 1, 3, 3]], dtype=torch.float64) / 7
    weights = bilinear_weights(4, 2)
    assert (weights - sevenths).abs().max() <= 2**-23
    assert torch.equal(weights * 2**22, (weights * 2**22).round())
