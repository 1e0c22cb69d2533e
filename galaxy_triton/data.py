"""From a store to pixels that lie on the device, its split, and the order of an epoch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxy_triton.arrays import PIXELS, map_pixels
from galaxy_triton.errors import DataFault, expected
from galaxy_triton.ids import rows_of
from galaxy_triton.kernels.philox import draw_bits
from galaxy_triton.store import Store, verified_pixels
from galaxy_triton.table import read_answers


class Galaxies(NamedTuple):
    """Pixels uint8 [N, S, S, 4]; ids int64 [N] and answers fp32 [N, 37] (NaN: no label) on one device, where the pixels
    lie too unless the host keeps them."""

    pixels: Tensor
    ids: Tensor
    answers: Tensor


class Split(NamedTuple):
    """Rows of the store, int64, ascending: to train on, held out, and those trained on several times an epoch."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    repeated: NDArray[np.int64] = np.empty(0, np.int64)  # all in `train` too


def load(
    store: Store, device: torch.device, progress: Callable[[int], None], pixels_on: torch.device | None = None
) -> Galaxies:
    """Read a store, each block of it verified on the way.

    Args:
        device: where all is copied to. progress: takes the rows done so far.
        pixels_on: another device for the pixels. For the CPU beside a GPU they stay in the file, whose map the
            processes of a machine share.

    Raises:
        DataFault: the store has no labels, or a block does not match its hash.
    """
    labels = require_labels(store)
    pixels = _pixels(store, device, pixels_on or device, progress)
    ids = torch.from_numpy(np.array(store.ids)).to(device)
    return Galaxies(pixels, ids, torch.from_numpy(np.array(labels)).to(device))


def _pixels(store: Store, device: torch.device, pixels_on: torch.device, progress: Callable[[int], None]) -> Tensor:
    mapped = pixels_on != device
    if mapped:
        pixels = torch.from_numpy(map_pixels(store.path / PIXELS, len(store.ids), store.preprocess.size, mode="c"))
    else:
        pixels = torch.empty(store.pixels.shape, dtype=torch.uint8, device=device)
    for start, rows in verified_pixels(store):
        if not mapped:
            pixels[start : start + len(rows)] = torch.from_numpy(rows).to(device)
        progress(start + len(rows))
    return pixels


def names_of(store: Store) -> NDArray[np.str_]:
    """What a user calls each galaxy: its id, or its file's stem where that is no integer."""
    return store.ids.astype(np.str_) if store.names is None else store.names


def answers_by_row(table: Path, store: Store) -> NDArray[np.float32]:
    """A table's answers in the order of the store's rows, nan where it has none: float32 [N, 37].

    Raises:
        DataFault: what `read_answers` raises.
    """
    ids, answers = read_answers(table)
    rows = rows_of(ids, store.ids)
    return np.where(rows[:, None] < 0, np.float32("nan"), answers[rows])


def split_by_ids(store: Store, held_out: NDArray[np.int64]) -> Split:
    """Hold out the labelled galaxies of this list; train on all the other labelled ones.

    Raises:
        DataFault: none of the ids is a labelled galaxy of the store, or all of them are.
    """
    labelled = labelled_rows(store)
    chosen = np.isin(store.ids[labelled], held_out)
    return _checked(Split(labelled[~chosen], labelled[chosen]), store)


def split_by_fraction(store: Store, fraction: float, seed: int) -> Split:
    """Hold out a fraction of the labelled galaxies: those with the smallest draws of (seed, id).

    Raises:
        DataFault: too few labelled galaxies to train on one and hold out one.
    """
    require_labels(store)
    labelled = labelled_rows(store)
    if fraction == 0:
        return Split(labelled, labelled[:0])
    count = max(1, round(fraction * len(labelled)))
    held_out = np.sort(split_order(store.ids[labelled], seed)[:count])
    return _checked(Split(np.delete(labelled, held_out), labelled[held_out]), store)


def split_order(ids: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The places of `ids` (int64 [M]) by their draws of (seed, id): the order that held-out galaxies are taken from."""
    order: NDArray[np.int64] = _philox_order(torch.from_numpy(np.array(ids)), seed, 0, "split").numpy()
    return order


def with_repeated(split: Split, store: Store, ids: NDArray[np.int64]) -> Split:
    """The split whose galaxies of this list are repeated, as far as they are trained on.

    Raises:
        DataFault: none of them is.
    """
    repeated = split.train[np.isin(store.ids[split.train], ids)]
    if len(repeated) == 0:
        want, do = (
            "galaxies to be repeated among those trained on",
            "check --fold-ids against the store and --validation",
        )
        raise DataFault(expected(want, "none", store.path, do))
    return split._replace(repeated=repeated)


def require_labels(store: Store) -> NDArray[np.float32]:
    """The labels of a store, float32 [N, 37].

    Raises:
        DataFault: it has none.
    """
    if store.labels is None:
        raise DataFault(expected("a store with labels", "one without", store.path, "pack it again with --labels"))
    return store.labels


def labelled_rows(store: Store) -> NDArray[np.int64]:
    """Rows with a label, int64, ascending."""
    if store.labels is None:
        return np.empty(0, np.int64)
    return np.flatnonzero(~np.isnan(store.labels).any(axis=1)).astype(np.int64)


def epoch_batches(rows: Tensor, ids: Tensor, seed: int, epoch: int, batch_size: int) -> tuple[Tensor, ...]:
    """The batches of an epoch: every row once, in an order that (seed, epoch) and the ids alone decide.

    Args:
        rows: int64 [M], rows of the store. ids: int64 [M], of the same galaxies.
        batch_size: the largest batch; sizes differ by one at most, so that none is too small for batch norm.

    Returns:
        int64 tensors on the device of `rows`.
    """
    shuffled = rows[_philox_order(ids, seed, epoch, "shuffle").to(rows.device)]
    return torch.tensor_split(shuffled, count_batches(len(rows), batch_size))


def deal(rows: Tensor, ids: Tensor, seed: int, epoch: int, parts: int) -> tuple[Tensor, ...]:
    """Each of `rows` (int64 [M], of the galaxies `ids`) in one of the parts, which (seed, epoch) and its id decide;
    sizes differ by one at most."""
    if parts == 1:
        return (rows,)
    order = _philox_order(ids, seed, epoch, "shuffle", first_word=2)
    return torch.tensor_split(rows[order.to(rows.device)], parts)


def count_batches(rows: int, batch_size: int) -> int:
    """Steps of an epoch."""
    return -(-rows // batch_size)


def slices(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `count`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _philox_order(ids: Tensor, seed: int, epoch: int, stream: str, first_word: int = 0) -> Tensor:
    # MPS has no 64-bit products. On CUDA a million galaxies are in order before the host could draw ten thousand.
    here = ids.cpu() if ids.device.type == "mps" else ids
    key, counter = (torch.tensor(number, device=here.device) for number in (seed, epoch))
    high, low = draw_bits(key, counter, here, stream)[:, first_word : first_word + 2].unbind(dim=1)
    return torch.argsort((high >> 1 << 32) + low, stable=True)  # 63 random bits


def _checked(split: Split, store: Store) -> Split:
    for part, rows in (("trained on", split.train), ("held out", split.validation)):
        if len(rows) == 0:
            want, do = f"labelled galaxies to be {part}", "check --validation against the store's ids"
            raise DataFault(expected(want, "none", store.path, do))
    return split
