"""A random view of each image of a batch, as a module: for batches of any size from any DataLoader."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .augmentation import BORDERS, IMPLEMENTATIONS, AugmentDraw, Ranges, scales
from .augmentation.parameters import DrawTensors, Size, check_crop, draw_tensors, height_width, source_size
from .availability import unavailable
from .checks import (
    FLOATS,
    MAX_PIXELS,
    Integers,
    device_of,
    integers,
    number,
    numbers,
    require,
    require_choice,
    require_constant,
    require_float,
    require_tensor,
    require_within,
)

CROPS = ("centre", "random")
STILL = Ranges(whole_pixels=True)


class RandomView(nn.Module):
    """Rotates, flips, zooms, shifts, crops, colours and normalises each image of a batch by itself, in one step.

    What torchvision does to one image at a time with Compose([RandomRotation(degrees, BILINEAR, fill=None),
    RandomHorizontalFlip, RandomVerticalFlip, RandomCrop or CenterCrop, ColorJitter, Normalize]) on floats, with one
    interpolation. Nothing is resized.

    A view is a function of (seed, epoch, id) alone: called with `ids` and `epoch` an image has the same view in
    whatever batch it stands. Called without, its place in the batch is its id, and the epoch is the number of such
    calls so far: a buffer that state_dict() keeps, so that a resumed run goes on where it stopped. Several processes
    need `ids`: their counts, and so their views, would be alike.

    In eval mode nothing is random: the centred crop, normalised.

    Args:
        size: of a view, pixels: of a square, or (height, width).
        degrees: rotation, uniform within plus and minus this; or (-degrees, degrees).
        flips: probabilities of a horizontal and of a vertical flip, or one number for both.
        zoom: log-uniform from 1/zoom to zoom, at most 1.5: there is no antialiasing.
        shift: uniform within plus and minus this on each axis, pixels of the source.
        jitter: strengths of brightness, contrast, saturation and hue, as of torchvision's ColorJitter; each image has
            its own order of the four.
        crop: "centre", at the pixel that torchvision's CenterCrop starts at, or "random".
        mean, std: of each channel, on the scale [0, 1].
        border: what lies outside an image: "zeros" or "reflect", as in `augment`.
        dtype: of the views: float32, float16 or bfloat16.
        seed: of all draws.
        impl: "torch", "compile" or "triton".

    Raises:
        ValueError: a value outside its range.
    """

    def __init__(
        self,
        size: Size,
        degrees: float | Sequence[float] = 0.0,
        flips: float | Sequence[float] = (0.0, 0.0),
        zoom: float = 1.0,
        shift: float = 0.0,
        jitter: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        *,
        crop: str = "centre",
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        border: str = "zeros",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        impl: str,
    ) -> None:
        super().__init__()
        require_choice(impl, IMPLEMENTATIONS, "impl")
        require_choice(border, BORDERS, "border")
        require_choice(crop, CROPS, "crop")
        require_float(dtype)
        self.size, self.mean, self.std = height_width(size), numbers(mean, 3, "mean"), scales(std)
        horizontal, vertical = numbers(flips if hasattr(flips, "__len__") else (flips, flips), 2, "flips")
        brightness, contrast, saturation, hue = numbers(jitter, 4, "jitter")
        self.ranges = Ranges(
            rotation=_symmetric(degrees),
            horizontal_flip=horizontal,
            vertical_flip=vertical,
            zoom=zoom,
            shift=shift,
            random_crop=crop == "random",
            brightness=brightness,
            contrast=contrast,
            saturation=saturation,
            hue=hue,
            whole_pixels=True,
        )
        self.border, self.dtype, self.impl = border, dtype, impl
        self.seed = int(integers(seed, "seed", (), torch.device("cpu")))
        self.step: Tensor
        self.register_buffer("step", torch.tensor(0))
        self._runs_on: torch.device | None = None

    def forward(self, batch: Tensor, ids: Integers | None = None, epoch: int | None = None) -> Tensor:
        """Views of a batch, on its device; no gradient flows back.

        Args:
            batch: uint8, or float32, float16 or bfloat16 in [0, 1]: [B, 3, H, W]; copied first unless contiguous.
                Floats outside [0, 1] and NaN are refused on the CPU; on a GPU, where the host would have to wait for
                them, they are not checked, and their views have no meaning.
            ids: integers [B], name the samples: a tensor, an array or a list.
            epoch: 0 to 2**32 - 1; with `ids` and not without.

        Returns:
            [B, 3, height, width] of `dtype`, channels_last.

        Raises:
            ValueError: a shape, dtype or device other than these, a random crop larger than the images, a batch that
                requires a gradient, or an implementation that cannot run on the device.
        """
        ranges = self.ranges if self.training else STILL
        self._check(batch, ranges)
        draw = self._draw(ids, epoch, len(batch), ranges)
        shape = (len(batch), 3, *self.size)
        out = torch.empty(shape, dtype=self.dtype, device=batch.device, memory_format=torch.channels_last)
        if len(batch):
            fill = IMPLEMENTATIONS[self.impl]()
            fill(batch.contiguous(), None, draw, self.mean, self.std, self.border, out)
        return out

    def extra_repr(self) -> str:
        return f"size={self.size}, {self.ranges}, border={self.border!r}, dtype={self.dtype}, impl={self.impl!r}"

    def _check(self, batch: Tensor, ranges: Ranges) -> None:
        here = self.step.device
        require_tensor(batch, "batch", (None, 3, None, None), (torch.uint8, *FLOATS), device_of(batch))
        require(batch.device == here, f"a batch on {here}, as the module", batch.device, "batch", "move one of them")
        require_constant(batch, "batch")
        if batch.is_floating_point():
            require_within(batch, 0, 1, "values in [0, 1]", "batch", "scale it, or give bytes")
        height, width = source_size(batch, None)
        pixels = height * width
        require(0 < pixels <= MAX_PIXELS, f"images of 1 to {MAX_PIXELS} pixels", pixels, "batch", "cut them")
        check_crop(ranges, (height, width), self.size)
        if batch.device != self._runs_on:
            reason = unavailable(self.impl, batch.device)
            require(reason is None, f"what runs on {batch.device}", repr(self.impl), "impl", f"change it: {reason}")
            self._runs_on = batch.device

    def _draw(self, ids: Integers | None, epoch: int | None, count: int, ranges: Ranges) -> DrawTensors:
        here = self.step.device
        if ids is None or epoch is None:
            require(ids is None and epoch is None, "ids and epoch", "one of them", "forward", "give both or none")
            seed = torch.full_like(self.step, self.seed)
            return DrawTensors(seed, self._count(), torch.arange(count, device=here), ranges)
        return draw_tensors(AugmentDraw(self.seed, epoch, ids, ranges), count, here)

    def _count(self) -> Tensor:
        """The number of this call; in place, so that a captured CUDA graph counts too."""
        call = self.step.clone()
        self.step += int(self.training)
        return call


def _symmetric(degrees: Any) -> float:
    """Degrees of a rotation to either side, from them or from torchvision's (-degrees, degrees)."""
    if not hasattr(degrees, "__len__"):
        return number(degrees, 0, 180, "degrees")
    low, high = numbers(degrees, 2, "degrees")
    require(low == -high, "as much to either side", degrees, "degrees", "turn the images before, or give one number")
    return high
