"""Views of a batch by each row of augment_rows, with the drawing of parameters: pixels in memory -> views in memory."""

import itertools

import pytest
import torch
from torch import Tensor

from bench.kernels.augment_rows import ROWS, reason_to_skip
from bench.kernels.scene import Scene

SIDE, SIZE = 160, 128
IMAGES = {"cuda": 20_000, "cpu": 512}  # 2 GB and 52 MB: more than a cache holds
USUAL = {"cuda": 512, "cpu": 8}
OTHERS = {"cuda": (32, 4096, 128), "cpu": ()}
# Measured at every size of batch: ours, and what might come near it.
RIVALS = (
    "Triton, drawing its own",
    "Triton, parameters given",
    "fastest torch, fixed order",
    "torch reference, compiled",
    "triton-augment",
)


def planned(device: str) -> list[tuple[str, str, int]]:
    """(what, row, batch), the most valuable first, as time may run out."""
    usual = [("augment", name, USUAL[device]) for name in reversed(ROWS)]
    return usual + [("augment", name, batch) for batch, name in itertools.product(OTHERS[device], RIVALS)]


@pytest.fixture(scope="module")
def store(device: torch.device, small: bool) -> Tensor:
    count, side = (64, 24) if small else (IMAGES[device.type], SIDE)
    return torch.randint(0, 256, (count, side, side, 4), dtype=torch.uint8, device=device)


@pytest.mark.parametrize(("what", "row", "batch"), planned("cuda" if torch.cuda.is_available() else "cpu"))
def test_augment_speed(
    what: str, row: str, batch: int, timed, store: Tensor, device: torch.device, small: bool
) -> None:
    reason = reason_to_skip(ROWS[row], device)
    if reason:
        pytest.skip(reason)
    size, images = (16, 2) if small else (SIZE, batch)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    scene = Scene(store, size, images, dtype)
    # Each call takes other images, so that none is in a cache: the whole store passes before one comes again.
    lists = itertools.cycle(torch.randperm(len(store), device=device)[: len(store) // images * images].split(images))

    def make():
        fill = ROWS[row].build(scene)
        return lambda: fill(next(lists))

    timed(make, images=images, differs=ROWS[row].differs, dtype=str(dtype)[6:], side=store.shape[1], size=size)
