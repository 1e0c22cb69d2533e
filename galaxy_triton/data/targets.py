"""Training targets: the labels, with the means of classes moved away from the mean label.

Some labels are only the mean answers of a galaxy's class. Such means vary less between galaxies than people's answers
do, and a network that learns them predicts answers too near to the mean of all. If an answer v and an image's features
are jointly normal, and y = E[v | class], the best linear predictions of y and of v differ by the factor
Var(y) / Var(v), as Cov(y, image) = Cov(v, image) Var(y) / Var(v). Stretching y by the inverse factor undoes this.
"""

import torch
from torch import Tensor

SHARED = 10  # more galaxies with the very same 37 answers are a class; by chance only a few agree


def targets(answers: Tensor, rows: Tensor, stretch: float) -> Tensor:
    """Move labels that more than SHARED training galaxies share `stretch` times as far from the mean training label.

    Other labels stay. A target may lie outside [0, 1]; the sums of the decision tree stay as they are.

    Args:
        answers: fp32 [N, 37] in [0, 1].
        rows: int64 [M], the rows of the training galaxies, on the same device.
        stretch: the factor; 1 changes nothing.

    Returns:
        fp32 [N, 37].
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
