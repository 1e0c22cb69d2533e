"""The order and the batches of an epoch, drawn from (seed, epoch, id) alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from galaxy_triton.kernels.philox import draw_bits


def epoch_batches(rows: Tensor, ids: Tensor, seed: int, epoch: int, batch_size: int) -> tuple[Tensor, ...]:
    """Shuffle an epoch's rows and cut them into batches; each row comes once.

    Args:
        rows: int64 [M], rows of the store.
        ids: int64 [M], the ids of the same galaxies; the order depends on (seed, epoch, id) alone.
        batch_size: size of the largest batch. Sizes differ by at most one, so that none is too small for batch norm.

    Returns:
        The rows of each batch: int64 tensors on the device of `rows`.
    """
    shuffled = rows[philox_order(ids, seed, epoch, "shuffle").to(rows.device)]
    return torch.tensor_split(shuffled, count_batches(len(rows), batch_size))


def count_batches(rows: int, batch_size: int) -> int:
    """The number of batches of an epoch."""
    return -(-rows // batch_size)


def batch_sizes(rows: int, batch_size: int) -> list[int]:
    """The number of galaxies in each batch of `epoch_batches`, the larger ones first."""
    count = count_batches(rows, batch_size)
    return [rows // count + (number < rows % count) for number in range(count)]


def slices(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover range(count)."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def philox_order(ids: Tensor, seed: int, epoch: int, stream: str) -> Tensor:
    """A random permutation, int64 [M], that sorts `ids` by 63 random bits of (seed, epoch, id) from a Philox stream."""
    # MPS has no 64-bit products. CUDA orders a million galaxies faster than the host draws ten thousand.
    here = ids.cpu() if ids.device.type == "mps" else ids
    key, counter = (torch.tensor(number, device=here.device) for number in (seed, epoch))
    high, low = draw_bits(key, counter, here, stream)[:, :2].unbind(dim=1)
    return torch.argsort((high >> 1 << 32) + low, stable=True)
