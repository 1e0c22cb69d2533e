"""The settings that make the seed recipe small enough to train in a second."""

from typing import Any

FRAME = 40  # side of the images that the sky of conftest.py is drawn in, pixels

# Everything but the size is the seed recipe's: dropout, jitter, flips and all.
TINY: dict[str, Any] = {
    "preprocess.frame": FRAME,
    "preprocess.crop": FRAME,
    "preprocess.size": 24,
    "augmentation.size": 16,
    "network.widths": (8, 16),
    "network.convs": 1,
    "network.hidden": 16,
    "run.epochs": 2,
    "run.batch_size": 12,
    "run.validation": 0.25,
    "run.device": "cpu",
}
