"""The body of each network by name: from views to the features that the final layer reads."""

import itertools

import torch
from torch import Tensor, nn

from galaxy_triton import kernels
from galaxy_triton.config.schema import Network
from galaxy_triton.kernels import NormReluPool
from galaxy_triton.system.errors import UsageFault, expected

LAYERS = "layers"  # torch's own batch norm, max pooling and ReLU
# Names of torchvision's networks. VGG has batch norm: without it, training from random weights fails at these learning
# rates.
TORCHVISION = {"vgg11": "vgg11_bn", "vgg16": "vgg16_bn", "resnet50": "resnet50"}


class GalaxyVGG(nn.Module):
    """VGG blocks of 3x3 convolutions with batch norm and max pooling, then the spatial mean and a dropout tail."""

    def __init__(self, network: Network, norm: str) -> None:
        super().__init__()
        channels = itertools.pairwise((3, *network.widths))
        self.blocks = nn.Sequential(*(_block(*inputs_outputs, network.convs, norm) for inputs_outputs in channels))
        self.tail = _tail(network)

    def forward(self, views: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, features]."""
        # The spatial mean is adaptive average pooling to 1x1, with a deterministic gradient on CUDA.
        features: Tensor = self.tail(self.blocks(views).mean((2, 3)))
        return features


def build(network: Network, norm: str = LAYERS) -> tuple[nn.Module, int]:
    """The named body, with weights from torch's random generator, and the number of its features.

    Args:
        norm: the end of galaxy-vgg's blocks: "layers", or an implementation of `norm_relu_pool`.

    Raises:
        UsageFault: the network needs torchvision, which is not installed.
    """
    if network.name in TORCHVISION:
        return _build_torchvision(network)
    return GalaxyVGG(network, norm), network.hidden or network.widths[-1]


def norm_unavailable(name: str, norm: str, device: torch.device) -> str | None:
    """Why the blocks of the network `name` cannot end in `norm` on `device`; None if they can."""
    if norm == LAYERS:
        return None
    if name != "galaxy-vgg":
        return f"{name} has torch's own layers"
    return kernels.unavailable(norm, device)


def _block(inputs: int, outputs: int, convs: int, norm: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(convs):
        layers.append(nn.Conv2d(outputs if number else inputs, outputs, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    if norm != LAYERS:
        return nn.Sequential(*layers[:-2], NormReluPool(outputs, impl=norm))
    # Pooling before the last ReLU: the same bits, forward and backward, and ReLU acts on a quarter of the values.
    layers.insert(-1, nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _tail(network: Network) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Dropout(network.dropout)]
    if network.hidden:
        layers += [nn.Linear(network.widths[-1], network.hidden), nn.ReLU(inplace=True), nn.Dropout(network.dropout)]
    return nn.Sequential(*layers)


def _build_torchvision(network: Network) -> tuple[nn.Module, int]:
    """torchvision's network without its last layer, and the number of that layer's inputs."""
    try:
        from torchvision import models
    # RuntimeError: a torchvision that was built for another torch.
    except (ImportError, RuntimeError) as error:
        missing = isinstance(error, ModuleNotFoundError)
        do = "pip install torchvision" if missing else "pip install --force-reinstall torch torchvision: two that fit"
        raise UsageFault(expected(f"torchvision for --model {network.name}", "none that works", error, do)) from error
    if network.name == "resnet50":
        body = models.resnet50(weights=None)
        features, body.fc = body.fc.in_features, nn.Dropout(network.dropout)
    else:
        body = getattr(models, TORCHVISION[network.name])(weights=None, dropout=network.dropout)
        features, body.classifier[-1] = body.classifier[-1].in_features, nn.Identity()
    return body, features
