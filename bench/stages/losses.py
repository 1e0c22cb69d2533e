"""The heads' losses by name, as the stages call them, and what each is in float64."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from galaxy_triton.kernels import Tree, sigmoid_mse, tree_mse, tree_probabilities
from galaxy_triton.questions import PARENTS, SIZES

TREE = Tree(SIZES, PARENTS)


class Loss(NamedTuple):
    """loss: (logits, targets, implementation) -> scalar. probabilities: float64 logits -> float64, for the truth."""

    loss: Callable[[Tensor, Tensor, str], Tensor]
    probabilities: Callable[[Tensor], Tensor]


LOSSES: dict[str, Loss] = {
    "sigmoid": Loss(lambda logits, targets, impl: sigmoid_mse(logits, targets, impl=impl), Tensor.sigmoid),
    "tree": Loss(
        lambda logits, targets, impl: tree_mse(logits, targets, TREE, impl=impl),
        lambda logits: tree_probabilities(logits, TREE),
    ),
}
