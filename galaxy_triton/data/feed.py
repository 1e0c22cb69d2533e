"""The batches of galaxies, on the device: read where their pixels lie, or copied ahead from the host's memory."""

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
    """Galaxies of a step, on the device.

    pixels: uint8 [N, S, S, 4]. places: int64 [B], where in them. ids: int64 [B]. answers: fp32 [B, 37].
    share: what part of the step's galaxies these are; the others are other processes'.
    """

    pixels: Tensor
    places: Tensor
    ids: Tensor
    answers: Tensor
    share: float = 1.0

    def split(self, parts: int) -> list["Batch"]:
        """At most `parts` batches, none empty; their shares add up to this one's."""
        if parts == 1:
            return [self]
        edges = [len(self.places) * part // parts for part in range(parts + 1)]
        return [self._piece(slice(start, stop)) for start, stop in pairwise(edges) if start < stop]

    def _piece(self, part: slice) -> "Batch":
        share = self.share * (part.stop - part.start) / len(self.places)
        return Batch(self.pixels, self.places[part], self.ids[part], self.answers[part], share)


class Waiting:
    """How long the host waited for batches."""

    seconds = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time of the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


def batches(
    galaxies: Galaxies, rows: Sequence[Tensor], shares: Sequence[float] | None = None, waiting: Waiting | None = None
) -> Generator[Batch, None, None]:
    """The galaxies of each of `rows` (int64 [B], on the device) in turn, each batch whole until the next is asked for.

    Pixels that lie on another device than the ids are copied, a batch ahead, while the device computes.
    """
    shares, waiting = shares or [1.0] * len(rows), waiting or Waiting()
    make = _resident if galaxies.pixels.device == galaxies.ids.device else _streamed
    return make(galaxies, rows, shares, waiting)


def batch_of(galaxies: Galaxies, rows: Tensor) -> Batch:
    """The galaxies of `rows` (int64 [B], on the device) by themselves."""
    return next(batches(galaxies, [rows]))


def _resident(
    galaxies: Galaxies, rows: Sequence[Tensor], shares: Sequence[float], waiting: Waiting
) -> Generator[Batch, None, None]:
    for chosen, share in zip(rows, shares, strict=True):
        with waiting.counted():
            batch = Batch(galaxies.pixels, chosen, galaxies.ids[chosen], galaxies.answers[chosen], share)
        yield batch


def _streamed(
    galaxies: Galaxies, rows: Sequence[Tensor], shares: Sequence[float], waiting: Waiting
) -> Generator[Batch, None, None]:
    on_host = _on_host(rows)
    slots = [_Slot(galaxies, max(map(len, rows), default=0)) for _ in range(min(SLOTS, len(rows)))]
    with _following(slots), _reader(galaxies.ids.device) as reader:
        coming = [reader.submit(slot.fill, chosen) for slot, chosen in zip(slots, on_host, strict=False)]
        try:
            for number, (chosen, share) in enumerate(zip(rows, shares, strict=True)):
                slot = slots[number % len(slots)]
                with waiting.counted():
                    coming[number].result()
                slot.await_copy()
                places = torch.arange(len(chosen), device=slot.device)
                yield Batch(slot.pixels[: len(chosen)], places, galaxies.ids[chosen], galaxies.answers[chosen], share)
                slot.release()
                if number + len(slots) < len(rows):
                    coming.append(reader.submit(slot.fill, on_host[number + len(slots)]))
        finally:
            for future in coming:
                future.cancel()


def _reader(device: torch.device) -> ThreadPoolExecutor:
    """One thread, on the GPU that this one is on."""
    if device.type != "cuda":
        return ThreadPoolExecutor(1)
    return ThreadPoolExecutor(1, initializer=torch.cuda.set_device, initargs=(torch.cuda.current_device(),))


@contextmanager
def _following(slots: Sequence["_Slot"]) -> Iterator[None]:
    """At the end nothing takes the memory of a copy that is still on its way."""
    try:
        yield
    finally:
        for slot in slots:
            slot.await_copy()


def _on_host(rows: Sequence[Tensor]) -> Sequence[Tensor]:
    """The same rows in the host's memory, by one copy."""
    if not rows:
        return []
    return torch.split(torch.cat(list(rows)).cpu(), [len(chosen) for chosen in rows])


class _Slot:
    """A place for one batch: pinned memory that the host gathers into, memory of the device, and on CUDA what keeps
    one from being overwritten while the other is read."""

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
        # What was asked of this memory before, its own filling too, comes before the first copy.
        self.release()

    # Whoever asks may be in that mode, and what is made there can be filled there only.
    @torch.inference_mode()
    def fill(self, rows: Tensor) -> None:
        """Gather these rows (int64 [B], on the host) and send them on their way; in the reader's thread."""
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
        """What is asked of the device from here on follows the copy."""
        if self.on_cuda:
            torch.cuda.current_stream(self.device).wait_event(self.copied)

    def release(self) -> None:
        """What was asked of the device so far comes before the next copy."""
        if self.on_cuda:
            self.used.record(torch.cuda.current_stream(self.device))
