"""Philox4x32-10 against its authors' vectors, and the streams as pinned here.

That a kernel draws the same from Triton's own Philox: test_augmentation_sampling.py.
"""

import pytest
import torch
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


def _draw(stream: str = "geometry", *, seed: int = 2**40 + 1, epoch: int = 3, image: int = 2**35 + 7) -> list[int]:
    return draw_bits(torch.tensor(seed), torch.tensor(epoch), torch.tensor([image]), stream)[0].tolist()


def test_streams_are_pinned() -> None:
    assert {stream: _draw(stream) for stream in STREAMS} == GOLDEN


@pytest.mark.parametrize(
    "change",
    [{"seed": 2**40 + 2}, {"seed": 1}, {"epoch": 4}, {"image": 2**35 + 8}, {"image": 7}, {"stream": "place"}],
    ids=str,
)
def test_draw_bits_depends_on(change: dict) -> None:
    assert all(a != b for a, b in zip(_draw(), _draw(**change), strict=True))


def test_uniform_is_below_one() -> None:
    assert uniform(torch.tensor([0, 255, 256, 2**32 - 1])).tolist() == [0.0, 0.0, 2.0**-24, 1 - 2.0**-24]
