"""What a network is taught: the answers of the store, and where a label is but the mean of its class, that mean moved
away from the mean answer.

A class's mean varies less between galaxies than people's answers do, and a network that learns such means predicts
answers that are too near to the mean of all. If an answer v and what an image shows of it are jointly normal, and
y = E[v | class], the best linear predictions of y and of v differ by the factor Var(y) / Var(v), as
Cov(y, image) = Cov(v, image) Var(y) / Var(v): to be taught its inverse undoes it.
"""

import torch
from torch import Tensor

SHARED = 10  # galaxies with the very same 37 answers: by chance they are a few at most


def targets(answers: Tensor, rows: Tensor, stretch: float) -> Tensor:
    """The answers to learn, fp32 [N, 37]: labels that more than SHARED of the galaxies trained on share lie `stretch`
    times as far from the mean of these galaxies, all others stay.

    A target may then lie outside [0, 1]; the sums of the decision tree hold as they did.

    Args:
        answers: fp32 [N, 37] in [0, 1]. rows: int64 [M], of the galaxies trained on, on the same device.
        stretch: the factor; 1 changes nothing.
    """
    if stretch == 1:
        return answers
    learned = answers[rows]
    # on the CPU, as MPS cannot sort rows
    _, place, counts = torch.unique(learned.cpu(), dim=0, return_inverse=True, return_counts=True)
    shared = (counts[place] > SHARED).to(answers.device)
    mean = learned.mean(dim=0)
    moved = answers.clone()
    moved[rows[shared]] = mean + stretch * (learned[shared] - mean)
    return moved
