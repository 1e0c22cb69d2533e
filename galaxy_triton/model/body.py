"""The body of each network by name: from views to the features that the final layer reads."""

import functools
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from galaxy_triton import kernels
from galaxy_triton.config.schema import Network
from galaxy_triton.kernels import NormReluPool
from galaxy_triton.system.errors import UsageFault, expected

LAYERS = "layers"  # torch's own batch norm, max pooling and ReLU


class GalaxyVGG(nn.Module):
    """VGG blocks of 3x3 convolutions with batch norm and max pooling, then the spatial mean and a dropout tail."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        channels, self.widths = (3, *network.widths), network.widths
        self.blocks = nn.Sequential(
            *(_block(channels[i], channels[i + 1], network.convs) for i in range(len(network.widths)))
        )
        self.tail = _tail(network)
        self.features = network.hidden or network.widths[-1]

    def forward(self, views: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, features]."""
        # The spatial mean is adaptive average pooling to 1x1, with a deterministic gradient on CUDA.
        features: Tensor = self.tail(self.blocks(views).mean((2, 3)))
        return features

    def fuse_ends(self, impl: str) -> None:
        """End each block with this implementation of `norm_relu_pool`; the names of the state stay."""
        ends = [NormReluPool(width, impl=impl) for width in self.widths]
        self.blocks = nn.Sequential(
            *(nn.Sequential(*list(block.children())[:-3], end) for block, end in zip(self.blocks, ends, strict=True))
        )


def build(network: Network, norm: str = LAYERS) -> tuple[nn.Module, int]:
    """The named body, with weights from torch's random generator, and the number of its features.

    Args:
        norm: the end of galaxy-vgg's blocks: "layers", or an implementation of `norm_relu_pool`.

    Raises:
        UsageFault: the network needs torchvision, which is not installed.
    """
    body, features = MODELS[network.name](network)
    if norm != LAYERS and isinstance(body, GalaxyVGG):
        body.fuse_ends(norm)
    return body, features


def norm_unavailable(name: str, norm: str, device: torch.device) -> str | None:
    """Why the blocks of the network `name` cannot end in `norm` on `device`; None if they can."""
    if norm == LAYERS:
        return None
    if name != "galaxy-vgg":
        return f"{name} has torch's own layers"
    return kernels.unavailable(norm, device)


def _block(inputs: int, outputs: int, convs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(convs):
        layers.append(nn.Conv2d(outputs if number else inputs, outputs, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    # Pooling before the last ReLU: the same bits, forward and backward, and ReLU acts on a quarter of the values.
    layers.insert(-1, nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _tail(network: Network) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Dropout(network.dropout)]
    if network.hidden:
        layers += [nn.Linear(network.widths[-1], network.hidden), nn.ReLU(inplace=True), nn.Dropout(network.dropout)]
    return nn.Sequential(*layers)


def _galaxy_vgg(network: Network) -> tuple[nn.Module, int]:
    body = GalaxyVGG(network)
    return body, body.features


def _torchvision_vgg(name: str, network: Network) -> tuple[nn.Module, int]:
    body = getattr(_torchvision_models(network), name)(weights=None, dropout=network.dropout)
    features = body.classifier[-1].in_features
    body.classifier[-1] = nn.Identity()
    return body, features


def _resnet50(network: Network) -> tuple[nn.Module, int]:
    body = _torchvision_models(network).resnet50(weights=None)
    features = body.fc.in_features
    body.fc = nn.Dropout(network.dropout)
    return body, features


def _torchvision_models(network: Network) -> ModuleType:
    try:
        from torchvision import models
    # RuntimeError: a torchvision that was built for another torch.
    except (ImportError, RuntimeError) as error:
        do = "pip install torchvision"
        raise UsageFault(expected(f"torchvision for --model {network.name}", "none that works", error, do)) from error
    found: ModuleType = models
    return found


# torchvision's VGG with batch norm: without it, training from random weights fails at these learning rates.
MODELS: dict[str, Callable[[Network], tuple[nn.Module, int]]] = {
    "galaxy-vgg": _galaxy_vgg,
    "vgg11": functools.partial(_torchvision_vgg, "vgg11_bn"),
    "vgg16": functools.partial(_torchvision_vgg, "vgg16_bn"),
    "resnet50": _resnet50,
}
