"""Beyond 32-bit offsets: stores, batches and views of more than 2**31 bytes or elements.

On a CPU they lie in a file of holes, of which only the few pages that are touched take any space.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from galaxy_triton.kernels import AugmentDraw, RandomView, Ranges, augment
from galaxy_triton.kernels.checks import MAX_PIXELS

SIDE, SIZE = 24, 16
LIVELY = Ranges(180, 0.5, 0.5, 1.2, 2.0, True, 0.3, 0.3, 0.3, 0.1)
Vast = Callable[..., Tensor]


@pytest.fixture
def vast(tmp_path: Path, device: torch.device) -> Vast:
    """vast(shape): uint8 zeros of that shape."""

    def make(*shape: int) -> Tensor:
        count = torch.Size(shape).numel()
        if device.type == "cpu":
            file = tmp_path / "holes"
            mapped = torch.from_file(str(file), shared=True, size=count, dtype=torch.uint8).view(shape)
            file.unlink()  # the mapping keeps it until the tensor is gone
            return mapped
        if torch.cuda.mem_get_info(device)[0] < 1.2 * count:
            pytest.skip(f"the GPU has less than {1.2 * count / 2**30:.0f} GiB free")
        return torch.zeros(shape, dtype=torch.uint8, device=device)

    return make


def _noise(*shape: int, device: torch.device) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(3)).to(device)


def _draw(ids: Tensor) -> AugmentDraw:
    return AugmentDraw(torch.tensor(9, device=ids.device), torch.tensor(2, device=ids.device), ids, LIVELY)


def test_store_beyond_two_to_the_33_bytes(vast: Vast, impl: str, device: torch.device) -> None:
    """Rows around the ends of 31 bits of bytes and of pixels have the views that they have in a small store."""
    pixels = SIDE * SIDE
    rows = 2**31 // pixels + 3
    store = vast(2 * rows, SIDE, SIDE, 4)[rows:]  # a place that wrapped round is black, and not outside
    ends = [2**31 // (4 * pixels), 2**31 // pixels]
    index = torch.tensor([0, *(end + near for end in ends for near in (-1, 0, 1))], device=device)
    small, places = _noise(len(index), SIDE, SIDE, 4, device=device), torch.arange(len(index), device=device)
    store[index] = small
    got = augment(store, index, _draw(places), size=SIZE, impl=impl)
    assert torch.equal(got, augment(small, places, _draw(places), size=SIZE, impl=impl))


def test_largest_images_of_a_batch(vast: Vast, device: torch.device) -> None:
    """Of MAX_PIXELS, so that planes of the second and all of the third lie beyond 2**31 bytes; unturned, so exact."""
    height, width = 2**14, MAX_PIXELS // 2**14
    batch = vast(5, 3, height, width)[2:]
    corner = ((height - SIZE) // 2, (width - SIZE) // 2)
    centre = batch[..., corner[0] : corner[0] + SIZE, corner[1] : corner[1] + SIZE]
    centre.copy_(_noise(3, 3, SIZE, SIZE, device=device))
    got = RandomView(SIZE, impl="triton").to(device).eval()(batch)
    assert torch.equal((got * 255).round(), centre.float())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="in the interpreter such a batch takes hours")
def test_views_beyond_two_to_the_31_elements(device: torch.device) -> None:
    """The last views of a batch that fills more than 2**32 bytes are those of a small one."""
    count = 2**31 // (3 * 128 * 128) + 3
    store, ids = _noise(4, 160, 160, 4, device=device), torch.arange(count, device=device)
    options = {"size": 128, "dtype": torch.float16, "impl": "triton"}
    last = augment(store, ids % 4, _draw(ids), **options)[-5:].clone()
    assert torch.equal(last, augment(store, ids[-5:] % 4, _draw(ids[-5:]), **options))
