"""Batches: the galaxies asked for, whether their pixels lie on the device or are copied ahead."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from galaxy_triton.data import feed
from galaxy_triton.data.feed import Batch, Waiting, batch_of, batches
from galaxy_triton.data.galaxies import Galaxies, load
from galaxy_triton.data.store import open_store

COUNT, SIDE = 20, 4
CPU = torch.device("cpu")


@pytest.fixture
def galaxies() -> Galaxies:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (COUNT, SIDE, SIDE, 4), dtype=torch.uint8, generator=generator)
    return Galaxies(pixels, torch.arange(COUNT) + 1000, torch.rand(COUNT, 37, generator=generator))


def resident(galaxies: Galaxies, rows: list[Tensor]) -> Iterator[Batch]:
    return batches(galaxies, rows)


def streamed(galaxies: Galaxies, rows: list[Tensor]) -> Iterator[Batch]:
    """As from the host's memory, but to the CPU."""
    return feed.streamed(galaxies, rows, [1.0] * len(rows), Waiting())


def streamed_to_a_gpu(galaxies: Galaxies, rows: list[Tensor]) -> Iterator[Batch]:
    """From the host's memory, to a device that is busy: a copy too early overwrites what is still read."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    there = Galaxies(galaxies.pixels, galaxies.ids.cuda(), galaxies.answers.cuda())
    for batch in batches(there, [chosen.cuda() for chosen in rows]):
        torch.cuda._sleep(1_000_000)
        pixels = batch.pixels[batch.places]
        yield Batch(pixels.cpu(), torch.arange(len(pixels)), batch.ids.cpu(), batch.answers.cpu())


def orders() -> list[list[Tensor]]:
    shuffled = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    return [[], [shuffled[:1]], list(shuffled.split(5)), list(shuffled.tensor_split(6)), list(shuffled.split(1)) * 2]


@pytest.mark.parametrize("make", [resident, streamed, streamed_to_a_gpu])
@pytest.mark.parametrize("rows", orders(), ids=["none", "one", "even", "uneven", "many"])
def test_batches(make: Callable[..., Iterator[Batch]], galaxies: Galaxies, rows: list[Tensor]) -> None:
    """Each is right while it is the last one asked for, however many came before."""
    seen = 0
    for chosen, batch in zip(rows, make(galaxies, rows), strict=True):
        assert torch.equal(batch.pixels[batch.places], galaxies.pixels[chosen])
        assert torch.equal(batch.ids, galaxies.ids[chosen])
        assert torch.equal(batch.answers, galaxies.answers[chosen])
        seen += 1
    assert seen == len(rows)


def test_pixels_elsewhere_are_streamed(galaxies: Galaxies, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the devices alone; ids on `meta` stand for a GPU."""
    chosen: list[str] = []
    monkeypatch.setattr(feed, "resident", lambda *given: chosen.append("resident"))
    monkeypatch.setattr(feed, "streamed", lambda *given: chosen.append("streamed"))
    batches(galaxies, [])
    batches(galaxies._replace(ids=galaxies.ids.to("meta")), [])
    assert chosen == ["resident", "streamed"]


def test_streamed_stays_a_few_batches_ahead(galaxies: Galaxies, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most as many batches are read as there are slots, and none after the last one is taken."""
    read: list[int] = []
    select = torch.index_select

    def counting(source: Tensor, dim: int, rows: Tensor, **options: Any) -> Tensor:
        read.append(len(rows))
        return select(source, dim, rows, **options)

    monkeypatch.setattr(torch, "index_select", counting)
    coming = streamed(galaxies, list(torch.arange(COUNT).split(1)))
    for _ in range(3):
        next(coming)
    coming.close()  # type: ignore[attr-defined]
    assert 3 <= len(read) <= 2 + feed.SLOTS


def test_streamed_in_inference_mode(galaxies: Galaxies) -> None:
    rows = list(torch.arange(COUNT).split(3))
    with torch.inference_mode():
        for chosen, batch in zip(rows, streamed(galaxies, rows), strict=True):
            assert torch.equal(batch.pixels[batch.places], galaxies.pixels[chosen])


def test_a_fault_of_the_reader_is_raised(galaxies: Galaxies) -> None:
    with pytest.raises(IndexError):
        list(streamed(galaxies, [torch.tensor([COUNT])]))


def test_waiting_is_counted(galaxies: Galaxies, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time until a batch is there, and not what is done with it."""
    now = iter(range(100))
    monkeypatch.setattr(feed, "time", SimpleNamespace(perf_counter=lambda: float(next(now))))
    waiting = Waiting()
    for _ in batches(galaxies, list(torch.arange(6).split(2)), waiting=waiting):
        next(now)
    assert waiting.seconds == 3.0


@pytest.mark.parametrize(("count", "parts", "sizes"), [(5, 1, [5]), (5, 2, [2, 3]), (2, 4, [1, 1]), (1, 3, [1])])
def test_split(galaxies: Galaxies, count: int, parts: int, sizes: list[int]) -> None:
    batch = batch_of(galaxies, torch.arange(count))._replace(share=0.5)
    pieces = batch.split(parts)
    assert [len(piece.ids) for piece in pieces] == sizes
    assert [piece.share for piece in pieces] == pytest.approx([0.5 * size / count for size in sizes])
    for name in ("places", "ids", "answers"):
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(batch, name))


def test_pixels_of_the_host_are_the_files_map(sky: Any) -> None:
    """Beside a device of another kind the pixels stay in the file; writing to them leaves it as it was."""
    store = open_store(sky.store)
    done: list[int] = []
    galaxies = load(store, torch.device("meta"), done.append, CPU)
    assert galaxies.pixels.device == CPU
    assert galaxies.ids.device.type == "meta"
    assert done[-1] == len(store.ids)
    assert torch.equal(galaxies.pixels, torch.from_numpy(store.pixels.copy()))
    galaxies.pixels.fill_(7)
    assert (open_store(sky.store).pixels != 7).any()
