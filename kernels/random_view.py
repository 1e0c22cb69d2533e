"""A random view of each image of a batch, as a module: for batches of any size from any DataLoader."""

import torch
from torch import Tensor, nn

from .augmentation import BORDERS, IMPLEMENTATIONS, AugmentDraw, Ranges
from .augmentation.parameters import Size, check_crop, height_width, source_size
from .availability import unavailable
from .checks import FLOATS, MAX_PIXELS, require, require_choice, require_tensor

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
        degrees: rotation, uniform within plus and minus this.
        flips: probabilities of a horizontal and of a vertical flip.
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
        degrees: float = 0.0,
        flips: tuple[float, float] = (0.0, 0.0),
        zoom: float = 1.0,
        shift: float = 0.0,
        jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
        *,
        crop: str = "centre",
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        std: tuple[float, float, float] = (1.0, 1.0, 1.0),
        border: str = "zeros",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        impl: str,
    ) -> None:
        super().__init__()
        require_choice(impl, IMPLEMENTATIONS, "impl")
        require_choice(border, BORDERS, "border")
        require_choice(crop, CROPS, "crop")
        require(dtype in FLOATS, "float32, float16 or bfloat16", dtype, "dtype", "choose one")
        for name, values, count in (("flips", flips, 2), ("jitter", jitter, 4), ("mean", mean, 3), ("std", std, 3)):
            require(len(values) == count, f"{count} numbers", values, name, "give as many")
        self.size = height_width(size)
        fits = min(self.size) > 0 and self.size[0] * self.size[1] <= MAX_PIXELS
        require(fits, f"a view of 1 to {MAX_PIXELS} pixels", size, "size", "choose another")
        self.ranges = Ranges(degrees, *flips, zoom, shift, crop == "random", *jitter, whole_pixels=True)
        self.mean, self.std, self.border, self.dtype, self.impl = mean, std, border, dtype, impl
        self.seed: Tensor
        self.step: Tensor
        self.register_buffer("seed", torch.tensor(seed), persistent=False)
        self.register_buffer("step", torch.tensor(0))
        self._runs_on: torch.device | None = None

    def forward(self, batch: Tensor, ids: Tensor | None = None, epoch: int | None = None) -> Tensor:
        """Views of a batch, on its device; no gradient flows back.

        Args:
            batch: uint8, or float32, float16 or bfloat16 in [0, 1]: [B, 3, H, W]; copied first unless contiguous.
            ids: int64 [B], names the samples.
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
        require_tensor(batch, "batch", (None, 3, None, None), (torch.uint8, *FLOATS), batch.device)
        here = self.step.device
        require(batch.device == here, f"a batch on {here}, as the module", batch.device, "batch", "move one of them")
        require(not batch.requires_grad, "a batch without gradient", "one that requires it", "batch", "call .detach()")
        height, width = source_size(batch, None)
        pixels = height * width
        require(0 < pixels <= MAX_PIXELS, f"images of 1 to {MAX_PIXELS} pixels", pixels, "batch", "cut them")
        check_crop(ranges, (height, width), self.size)
        if batch.device != self._runs_on:
            reason = unavailable(self.impl, batch.device)
            require(reason is None, f"what runs on {batch.device}", repr(self.impl), "impl", f"change it: {reason}")
            self._runs_on = batch.device

    def _draw(self, ids: Tensor | None, epoch: int | None, count: int, ranges: Ranges) -> AugmentDraw:
        if ids is None or epoch is None:
            require(ids is None and epoch is None, "ids and epoch", "one of them", "forward", "give both or none")
            places = torch.arange(count, device=self.step.device)
            return AugmentDraw(self.seed, self._count(), places, ranges)
        require_tensor(ids, "ids", (count,), (torch.int64,), self.step.device)
        require(0 <= epoch < 2**32, "0 to 2**32 - 1", epoch, "epoch", "count epochs")
        return AugmentDraw(self.seed, torch.full_like(self.step, epoch), ids, ranges)

    def _count(self) -> Tensor:
        """The number of this call; in place, so that a captured CUDA graph counts too."""
        call = self.step.clone()
        self.step += int(self.training)
        return call
