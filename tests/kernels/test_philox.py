"""Philox4x32-10 against its authors' vectors, Triton's own, and the streams as pinned here."""

import itertools

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from galaxy_triton.kernels.philox import STREAMS, draw_bits, philox, uniform

# Random123's kat_vectors, philox4x32 10: counter, key, answer.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]

# What (seed, epoch, id) = (2**40 + 1, 3, 2**35 + 7) draws from each stream. A change here is a new format version.
GOLDEN = {
    "geometry": [3570199478, 448063121, 2390605032, 2145613341],
    "place": [4132623084, 700140993, 1961403368, 1659651062],
    "jitter": [1465549045, 4188091626, 4215191325, 339693332],
    "order": [677985547, 2411831551, 2794155041, 106439113],
    "shuffle": [3836819603, 3074260111, 3637196950, 2770511591],
    "split": [3307249524, 993755121, 3300217728, 1785654420],
}


def _words(text: str) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(int(word, 16)) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS, ids=["zeros", "ones", "pi"])
def test_philox_known_answers(counter: str, key: str, answer: str) -> None:
    assert philox(_words(key), _words(counter)).tolist() == [int(word, 16) for word in answer.split()]


@triton.jit
def _philox_kernel(seed_ptr, counters_ptr, bits_ptr, count, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    seed = tl.load(seed_ptr)
    c0 = tl.load(counters_ptr + place * 4, mask=mask, other=0).to(tl.uint32)
    c1 = tl.load(counters_ptr + place * 4 + 1, mask=mask, other=0).to(tl.uint32)
    c2 = tl.load(counters_ptr + place * 4 + 2, mask=mask, other=0).to(tl.uint32)
    c3 = tl.load(counters_ptr + place * 4 + 3, mask=mask, other=0).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(seed, c0, c1, c2, c3)
    tl.store(bits_ptr + place * 4, w0.to(tl.int64), mask=mask)
    tl.store(bits_ptr + place * 4 + 1, w1.to(tl.int64), mask=mask)
    tl.store(bits_ptr + place * 4 + 2, w2.to(tl.int64), mask=mask)
    tl.store(bits_ptr + place * 4 + 3, w3.to(tl.int64), mask=mask)


@pytest.mark.parametrize(
    ("seed", "epoch"), [(0, 0), (12345, 77), (2**32 + 1, 2**31), (2**62 + 987654321, 2**32 - 1), (-1, 77)]
)
def test_draw_bits_equals_tl_philox(seed: int, epoch: int, device: torch.device) -> None:
    """10,000 counters, ids below and above 2**32."""
    ids = torch.arange(10_000, device=device) * (2**50 // 10_000 + 1)
    epoch = torch.tensor(epoch, device=device)
    for stream, number in STREAMS.items():
        want = draw_bits(torch.tensor(seed, device=device), epoch, ids, stream)
        words = (ids & 0xFFFFFFFF, ids >> 32, epoch.expand_as(ids), torch.full_like(ids, number))
        got = torch.zeros_like(want)
        counters = torch.stack(words, dim=1)
        seeds = torch.tensor([seed], device=device)
        _philox_kernel[(10,)](seeds, counters, got, len(ids), BLOCK=1024, enable_fp_fusion=False)
        assert torch.equal(got, want), stream


def _draw(stream: str = "geometry", *, seed: int = 2**40 + 1, epoch: int = 3, image: int = 2**35 + 7) -> list[int]:
    return draw_bits(torch.tensor(seed), torch.tensor(epoch), torch.tensor([image]), stream)[0].tolist()


def test_streams_are_pinned() -> None:
    assert {stream: _draw(stream) for stream in STREAMS} == GOLDEN


@pytest.mark.parametrize(
    "change",
    [{"seed": 2**40 + 2}, {"seed": 1}, {"epoch": 4}, {"image": 2**35 + 8}, {"image": 7}, {"stream": "place"}],
    ids=["low seed", "high seed", "epoch", "low id", "high id", "stream"],
)
def test_draw_bits_depends_on(change: dict) -> None:
    assert all(a != b for a, b in zip(_draw(), _draw(**change), strict=True))


def test_uniform_is_below_one() -> None:
    assert uniform(torch.tensor([0, 255, 256, 2**32 - 1])).tolist() == [0.0, 0.0, 2.0**-24, 1 - 2.0**-24]


def _chi_square_fits(cells: Tensor, count: int) -> bool:
    """Whether numbers in [0, count) are spread evenly: Pearson's statistic between its 1e-6 quantiles."""
    seen = torch.bincount(cells.flatten(), minlength=count).double()
    expected = cells.numel() / count
    statistic = ((seen - expected) ** 2 / expected).sum()
    below = torch.special.gammainc(torch.tensor((count - 1) / 2).double(), statistic / 2)
    return bool(1e-6 < below < 1 - 1e-6)


def _many(stream: str = "geometry", *, seed: int = 2**40 + 1, epoch: int = 3, first: int = 2**35) -> Tensor:
    """Words of 20,000 neighbouring ids, as they come in a store."""
    return draw_bits(torch.tensor(seed), torch.tensor(epoch), torch.arange(first, first + 20_000), stream)


@pytest.mark.parametrize("stream", STREAMS)
def test_words_are_even(stream: str) -> None:
    """The upper and the lower byte of each word."""
    for word in _many(stream).unbind(1):
        assert _chi_square_fits(word >> 24, 256)
        assert _chi_square_fits(word & 255, 256)


NEIGHBOURS = {
    "id": {"first": 2**35 + 1},
    "epoch": {"epoch": 4},
    "seed": {"seed": 2**40 + 2},
    "high half of the seed": {"seed": 2**40 + 2**32 + 1},
    "high half of the id": {"first": 2**35 + 2**32},
} | {f"stream {stream}": {"stream": stream} for stream in STREAMS if stream != "geometry"}


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_neighbours_are_independent(neighbour: str) -> None:
    """Every word beside every word of the neighbour: no correlation, and all pairs of their upper 4 bits as often."""
    here, there = _many(), _many(**NEIGHBOURS[neighbour])
    together = torch.corrcoef(torch.cat((uniform(here), uniform(there)), dim=1).double().T)[:4, 4:]
    assert together.abs().max() < 5 / len(here) ** 0.5
    for mine, theirs in itertools.product(here.unbind(1), there.unbind(1)):
        assert _chi_square_fits((mine >> 28) * 16 + (theirs >> 28), 256)


def test_chi_square_sees_uneven_numbers() -> None:
    """The statistic is code too: a byte that comes four times as often is refused, and bytes in turn, too even."""
    bytes_drawn, more = _many()[:, 0] >> 24, torch.full((240,), 7)
    assert _chi_square_fits(bytes_drawn, 256)
    assert not _chi_square_fits(torch.cat((bytes_drawn, more)), 256)
    assert not _chi_square_fits(torch.arange(20_000) % 256, 256)
