"""A training step in plain PyTorch, as one writes it by hand: bytes in memory, affine_grid and grid_sample, an
nn.Sequential, AdamW, OneCycleLR. Network and views are those of a recipe without colour jitter and dropout."""

import itertools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galaxy_triton.config.schema import Augmentation, Config, Network

ANSWERS = 37


class PlainLoop:
    """A call makes the next step and returns its loss, a float.

    pixels: uint8 [N, 3, S, S], answers: fp32 [N, 37], on one device. memory_format: of images and network.
    total_steps: of the learning rate's one cycle.
    """

    def __init__(
        self, config: Config, pixels: Tensor, answers: Tensor, memory_format: torch.memory_format, total_steps: int
    ) -> None:
        torch.manual_seed(config.run.seed)
        device, optimiser = pixels.device, config.optimiser
        self.augmentation, self.answers, self.memory_format = config.augmentation, answers, memory_format
        self.pixels = pixels.contiguous(memory_format=memory_format)
        self.network = network(config.network).to(device, memory_format=memory_format)
        with torch.no_grad():
            self.network[-1].bias.copy_(torch.logit(answers.mean(dim=0).clamp(1e-3, 1 - 1e-3)))
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=optimiser.lr, weight_decay=optimiser.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, optimiser.lr, total_steps, pct_start=optimiser.warmup
        )
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
        self.batches = _batches(len(pixels), config.run.batch_size, device)

    def __call__(self) -> float:
        index = next(self.batches)
        images = views(self.pixels[index], self.augmentation).contiguous(memory_format=self.memory_format)
        with self.autocast:
            logits = self.network(images)
        loss = F.mse_loss(torch.sigmoid(logits.float()), self.answers[index])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return loss.item()


def network(options: Network) -> nn.Sequential:
    """Blocks of 3x3 convolutions, batch norm, ReLU and max pooling, the mean over places, a linear layer."""
    layers: list[nn.Module] = []
    channels = 3
    for width in options.widths:
        for _ in range(options.convs):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, ANSWERS))


def views(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Rotated, flipped, zoomed and shifted at random, and the centre cut: uint8 [B, 3, S, S] -> fp32 [B, 3, V, V]."""
    images = images.float() / 255
    count, side, size = len(images), images.shape[-1], augmentation.size
    theta = random_affine(count, augmentation, size / side, images.device)
    grid = F.affine_grid(theta, [count, 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def random_affine(count: int, augmentation: Augmentation, crop: float, device: torch.device) -> Tensor:
    """fp32 [B, 2, 3] for affine_grid. crop: the view's share of the image's side."""
    turn, flip_x, flip_y, zoom, x, y = torch.rand(6, count, device=device).unbind()
    angle = (2 * turn - 1) * math.radians(augmentation.rotation)
    scale = crop * torch.exp((2 * zoom - 1) * math.log(augmentation.zoom))
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    flip_x = torch.where(flip_x < augmentation.horizontal_flip, -1.0, 1.0)
    flip_y = torch.where(flip_y < augmentation.vertical_flip, -1.0, 1.0)
    # A share s of the side is 2 s in the coordinates of affine_grid, which run from -1 to 1.
    x, y = ((2 * place - 1) * 2 * augmentation.shift for place in (x, y))
    rows = torch.stack([cos * flip_x, -sin * flip_y, x]), torch.stack([sin * flip_x, cos * flip_y, y])
    return torch.stack(rows).permute(2, 0, 1)


def _batches(count: int, size: int, device: torch.device) -> Iterator[Tensor]:
    """Shuffled anew each epoch; what is left over is dropped."""
    size = min(size, count)
    for _ in itertools.count():
        shuffled = torch.randperm(count, device=device)
        yield from shuffled[: count // size * size].split(size)
