"""Batches of galaxies on the device: read from its memory, or copied ahead from the host's."""

import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from galaxy_triton.data.galaxies import Galaxies

SLOTS = 3  # batches in the device's memory: one computed on, one ready, one on its way


class Batch(NamedTuple):
    """The galaxies of a step that this process trains on, on the device.

    pixels: uint8 [N, S, S, 4]. places: int64 [B], indices into pixels. ids: int64 [B]. answers: fp32 [B, 37].
    share: the fraction of the step's galaxies that are in this batch; the others are in other processes' batches.
    """

    pixels: Tensor
    places: Tensor
    ids: Tensor
    answers: Tensor
    share: float = 1.0

    def split(self, parts: int) -> list["Batch"]:
        """Cut into at most `parts` batches, none empty; their shares add up to this batch's share."""
        if parts == 1:
            return [self]
        edges = [len(self.places) * part // parts for part in range(parts + 1)]
        return [self._piece(slice(start, stop)) for start, stop in pairwise(edges) if start < stop]

    def _piece(self, part: slice) -> "Batch":
        share = self.share * (part.stop - part.start) / len(self.places)
        return Batch(self.pixels, self.places[part], self.ids[part], self.answers[part], share)


class Waiting:
    """The time that the host waited for batches."""

    seconds = 0.0

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the time of a `with` block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


def batches(
    galaxies: Galaxies, rows: Sequence[Tensor], shares: Sequence[float] | None = None, waiting: Waiting | None = None
) -> Generator[Batch, None, None]:
    """Yield the batch of each of `rows` in turn. A batch is valid until the next one is taken.

    Pixels on another device than the ids are copied ahead while the device computes.

    Args:
        rows: int64 [B] each, rows of the store, on the device.
        shares: the share of each batch; all 1 by default.
        waiting: measures the time that the host waits.
    """
    shares, waiting = shares or [1.0] * len(rows), waiting or Waiting()
    make = resident if galaxies.pixels.device == galaxies.ids.device else streamed
    return make(galaxies, rows, shares, waiting)


def batch_of(galaxies: Galaxies, rows: Tensor) -> Batch:
    """The batch of these rows, int64 [B] on the device."""
    return next(batches(galaxies, [rows]))


def resident(
    galaxies: Galaxies, rows: Sequence[Tensor], shares: Sequence[float], waiting: Waiting
) -> Generator[Batch, None, None]:
    for chosen, share in zip(rows, shares, strict=True):
        with waiting.measure():
            batch = Batch(galaxies.pixels, chosen, galaxies.ids[chosen], galaxies.answers[chosen], share)
        yield batch


def streamed(
    galaxies: Galaxies, rows: Sequence[Tensor], shares: Sequence[float], waiting: Waiting
) -> Generator[Batch, None, None]:
    # one copy for all rows
    on_host = torch.split(torch.cat(list(rows)).cpu(), [len(chosen) for chosen in rows]) if rows else ()
    slots = [_Slot(galaxies, max(map(len, rows))) for _ in rows[:SLOTS]]
    reader = _reader(galaxies.ids.device)
    try:
        coming = [reader.submit(slot.fill, chosen) for slot, chosen in zip(slots, on_host, strict=False)]
        for number, (chosen, share) in enumerate(zip(rows, shares, strict=True)):
            slot = slots[number % len(slots)]
            with waiting.measure():
                coming[number].result()
            slot.await_copy()
            places = torch.arange(len(chosen), device=slot.device)
            yield Batch(slot.pixels[: len(chosen)], places, galaxies.ids[chosen], galaxies.answers[chosen], share)
            slot.release()
            if number + len(slots) < len(rows):
                coming.append(reader.submit(slot.fill, on_host[number + len(slots)]))
    finally:
        reader.shutdown(cancel_futures=True)
        # pending copies end before their memory can be reused
        for slot in slots:
            slot.await_copy()


def _reader(device: torch.device) -> ThreadPoolExecutor:
    """A pool of one thread, which uses this thread's GPU."""
    if device.type != "cuda":
        return ThreadPoolExecutor(1)
    return ThreadPoolExecutor(1, initializer=torch.cuda.set_device, initargs=(torch.cuda.current_device(),))


class _Slot:
    """Memory for one batch: pinned memory that the host gathers into, and memory of the device.

    On CUDA two events order the work: `copied` after each copy, `used` after the last use of the device's memory.
    """

    def __init__(self, galaxies: Galaxies, size: int) -> None:
        self.source, self.device = galaxies.pixels, galaxies.ids.device
        self.on_cuda = self.device.type == "cuda"
        shape = (size, *self.source.shape[1:])
        self.staged = torch.empty(shape, dtype=torch.uint8, pin_memory=self.on_cuda)
        self.pixels = torch.empty(shape, dtype=torch.uint8, device=self.device)
        if self.on_cuda:
            self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            self.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.used = torch.cuda.Event()  # type: ignore[no-untyped-call]
        # the first copy follows all earlier work on this memory, its allocation too
        self.release()

    # if the slot was made in inference mode, its tensors can be written in inference mode only
    @torch.inference_mode()
    def fill(self, rows: Tensor) -> None:
        """Gather these rows (int64 [B], on the host) and start their copy; runs in the reader's thread."""
        staged, pixels = self.staged[: len(rows)], self.pixels[: len(rows)]
        if not self.on_cuda:
            pixels.copy_(torch.index_select(self.source, 0, rows, out=staged))
            return
        self.copied.synchronize()
        torch.index_select(self.source, 0, rows, out=staged)
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(self.used)
            pixels.copy_(staged, non_blocking=True)
            self.copied.record(self.stream)

    def await_copy(self) -> None:
        """Make the device's later work wait for the copy."""
        if self.on_cuda:
            torch.cuda.current_stream(self.device).wait_event(self.copied)

    def release(self) -> None:
        """Make the next copy wait for the device's earlier work."""
        if self.on_cuda:
            self.used.record(torch.cuda.current_stream(self.device))
