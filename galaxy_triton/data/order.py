"""The order of an epoch, and its batches: drawn from (seed, epoch, id) alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from galaxy_triton.kernels.philox import draw_bits


def epoch_batches(rows: Tensor, ids: Tensor, seed: int, epoch: int, batch_size: int) -> tuple[Tensor, ...]:
    """The batches of an epoch: every row once, in an order that (seed, epoch) and the ids alone decide.

    Args:
        rows: int64 [M], rows of the store. ids: int64 [M], of the same galaxies.
        batch_size: the largest batch; sizes differ by one at most, so that none is too small for batch norm.

    Returns:
        int64 tensors on the device of `rows`.
    """
    shuffled = rows[philox_order(ids, seed, epoch, "shuffle").to(rows.device)]
    return torch.tensor_split(shuffled, count_batches(len(rows), batch_size))


def count_batches(rows: int, batch_size: int) -> int:
    """Steps of an epoch."""
    return -(-rows // batch_size)


def batch_sizes(rows: int, batch_size: int) -> list[int]:
    """Galaxies in each of an epoch's batches: the larger ones first, as `epoch_batches` makes them."""
    count = count_batches(rows, batch_size)
    return [rows // count + (number < rows % count) for number in range(count)]


def slices(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `count`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def philox_order(ids: Tensor, seed: int, epoch: int, stream: str) -> Tensor:
    """Places of `ids` (int64 [M]) by ascending random numbers of (seed, epoch, id) from this stream of Philox."""
    # MPS has no 64-bit products. On CUDA a million galaxies are in order before the host could draw ten thousand.
    here = ids.cpu() if ids.device.type == "mps" else ids
    key, counter = (torch.tensor(number, device=here.device) for number in (seed, epoch))
    high, low = draw_bits(key, counter, here, stream)[:, :2].unbind(dim=1)
    return torch.argsort((high >> 1 << 32) + low, stable=True)  # 63 random bits
