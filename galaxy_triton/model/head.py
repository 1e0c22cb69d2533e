"""The final layer, its loss and its probabilities, by the head's name."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from galaxy_triton import kernels
from galaxy_triton.config.schema import Network
from galaxy_triton.galaxyzoo.questions import COLUMNS, PARENTS, SIZES, SPANS
from galaxy_triton.model.body import LAYERS, build

TREE = kernels.Tree(SIZES, PARENTS)


class Head(NamedTuple):
    """The functions of a head.

    loss: (logits [B, 37], labels fp32 [B, 37], implementation) -> fp32 scalar.
    probabilities: logits [B, 37] -> fp32 [B, 37].
    logits_of: mean labels fp32 [37] -> the logits whose probabilities they are, fp32 [37].
    """

    loss: Callable[[Tensor, Tensor, str], Tensor]
    probabilities: Callable[[Tensor], Tensor]
    logits_of: Callable[[Tensor], Tensor]


class AnswerNet(nn.Module):
    """A body and the final linear layer: views [B, 3, H, W] -> logits [B, 37]."""

    def __init__(self, body: nn.Module, features: int) -> None:
        super().__init__()
        self.body = body
        self.answers = nn.Linear(features, len(COLUMNS))

    def forward(self, views: Tensor) -> Tensor:
        logits: Tensor = self.answers(self.body(views))
        return logits

    def start_at(self, mean: Tensor, head: Head) -> None:
        """Set the final layer's bias so that an untrained network predicts about the mean of the labels, fp32 [37]."""
        with torch.no_grad():
            self.answers.bias.copy_(head.logits_of(mean))


def _tree_logits(mean: Tensor) -> Tensor:
    shares = [mean[span].clamp(min=1e-3) for span in SPANS]
    return torch.cat([(share / share.sum()).log() for share in shares])


HEADS: dict[str, Head] = {
    "sigmoid": Head(
        loss=lambda logits, labels, impl: kernels.sigmoid_mse(logits, labels, impl=impl),
        probabilities=lambda logits: logits.float().sigmoid(),
        logits_of=lambda mean: torch.logit(mean.clamp(1e-3, 1 - 1e-3)),
    ),
    "tree": Head(
        loss=lambda logits, labels, impl: kernels.tree_mse(logits, labels, TREE, impl=impl),
        probabilities=lambda logits: kernels.tree_probabilities(logits, TREE),
        logits_of=_tree_logits,
    ),
}


def training_bytes(network: Network, batch: int, side: int, element_bytes: int) -> int:
    """Approximate bytes of a training step: weights, gradients, AdamW's two moments and the layers' outputs.

    Args:
        batch: views in a step. side: of a view, pixels. element_bytes: of the type in which the body computes.
    """
    sizes: list[int] = []
    with torch.device("meta"):
        model = make_network(network)
        for layer in model.modules():
            if not list(layer.children()) and not getattr(layer, "inplace", False):
                layer.register_forward_hook(lambda layer, inputs, output: sizes.append(output.numel()))
        model(torch.empty(batch, 3, side, side))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return 16 * parameters + element_bytes * sum(sizes)


def check_shapes(network: Network, weights: dict[str, Tensor]) -> None:
    """Raise unless the weights have this network's names and shapes; the network is not allocated.

    A stranger's file may state sizes that would fill the memory.

    Raises:
        RuntimeError: as `load_state_dict` raises it: a first line, then the first difference.
    """
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in make_network(network).state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if different := sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name)):
        name = different[0]
        raise RuntimeError(f"other shapes\n{name}: {got.get(name)} for {wanted.get(name)}")


def make_network(network: Network, norm: str = LAYERS) -> AnswerNet:
    """The named body (see `body.build` for `norm`) with its final layer; weights from torch's random generator."""
    return AnswerNet(*build(network, norm))
