"""Philox4x32-10 in plain torch, bit-equal to tl.philox, and the table of streams.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A draw is a function of (seed, epoch, id,
stream) and of nothing else: counter words (low id, high id, epoch, stream), key (low seed, high seed).
"""

import torch
from torch import Tensor

# Each stream gives four words. A change here changes every view: it needs a new format version.
STREAMS = {
    "geometry": 0,  # angle, horizontal flip, vertical flip, zoom
    "place": 1,  # shift x, shift y, crop x, crop y
    "jitter": 2,  # brightness, contrast, saturation, hue
    "order": 3,  # order of the four jitters; three words unused
    "shuffle": 4,  # place in the epoch's order (64 bits); two words unused
    "split": 5,  # place in the order that validation and folds are taken from (64 bits); two words unused
}

_WORD = 0xFFFFFFFF
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(key: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Ten rounds of Philox4x32.

    Args:
        key: two int64 tensors holding unsigned 32-bit words.
        counter: four likewise; the rounds broadcast all six together, to [B].

    Returns:
        int64 [B, 4], each value in [0, 2**32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The int64 product wraps, but its 64 bits are those of the unsigned product.
        low, high = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (high >> 32 & _WORD) ^ c1 ^ k0,
            high & _WORD,
            (low >> 32 & _WORD) ^ c3 ^ k1,
            low & _WORD,
        )
        k0, k1 = k0 + _WEYL[0] & _WORD, k1 + _WEYL[1] & _WORD
    return torch.stack((c0, c1, c2, c3), dim=-1)


def draw_bits(seed: Tensor, epoch: Tensor, ids: Tensor, stream: str) -> Tensor:
    """Four random words for each id.

    Args:
        seed: int64 scalar. epoch: int64 scalar. ids: int64 [B]. stream: a name in STREAMS.

    Returns:
        int64 [B, 4], each value in [0, 2**32).
    """
    key = (seed & _WORD, seed >> 32 & _WORD)
    number = torch.full_like(ids, STREAMS[stream])
    return philox(key, (ids & _WORD, ids >> 32 & _WORD, epoch & _WORD, number))


def uniform(bits: Tensor) -> Tensor:
    """Words to fp32 in [0, 1): the upper 24 bits, so every value is exact."""
    return (bits >> 8).to(torch.float32) * 2.0**-24
