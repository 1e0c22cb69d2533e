"""Source images that take an augmentation through its cases, and the error that it is allowed."""

import torch
from torch import Tensor

SCENES = ("smooth", "noise", "grey", "ties")

# (source side, view side): part of one tile of the kernel, exactly one tile, several and a part; on a GPU full size.
SIZES = [(24, 16), (40, 32), (60, 48)]
if torch.cuda.is_available():
    SIZES.append((160, 128))

# Where one size is enough: small for the interpreter, full size on a GPU. The second pair is (height, width).
SIDE, SIZE = SIZES[-1] if torch.cuda.is_available() else SIZES[0]
SOURCE, VIEW = ((160, 213), (128, 150)) if torch.cuda.is_available() else ((33, 47), (20, 32))


def scenes(side: int, device: torch.device) -> Tensor:
    """uint8 [4, side, side, 4], one image per name in SCENES."""
    noise = torch.randint(0, 256, (side, side, 3), generator=torch.Generator().manual_seed(side))
    grey = noise[..., :1].expand(-1, -1, 3)
    # Saturated colours, two channels often equal and the largest: every branch of the hue.
    ties = noise // 128 * 255
    images = torch.stack([_smooth(side), noise, grey, ties]).to(torch.uint8)
    ignored = torch.full((*images.shape[:3], 1), 201, dtype=torch.uint8)
    return torch.cat((images, ignored), dim=3).to(device)


def _smooth(side: int) -> Tensor:
    ramp = torch.linspace(0, 3, side)
    waves = [torch.sin(ramp[:, None] * (1 + k) + ramp * (2 - k)) for k in range(3)]
    return (torch.stack(waves, dim=2) * 127 + 128).round().long()


def tolerance(side: int, device: torch.device) -> float:
    """Largest error in fp32: a coordinate is rounded in proportion to the side, and GPUs divide approximately."""
    return 2e-4 if device.type == "cuda" else 5e-5 * max(1, side / 160)
