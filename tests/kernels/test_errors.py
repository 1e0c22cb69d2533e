"""Every wrong use of the public functions: a ValueError that says what was expected, what came and what to do."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from galaxy_triton.kernels import (
    AugmentDraw,
    AugmentParams,
    NormReluPool,
    RandomView,
    Ranges,
    Tree,
    augment,
    norm_relu_pool,
    sample,
    sigmoid_mse,
    tree_mse,
    tree_probabilities,
    unavailable,
    view_affine,
)

PIXELS = torch.zeros(5, 8, 8, 4, dtype=torch.uint8)
INDEX = torch.arange(3)
PARAMS = AugmentParams(torch.zeros(3, 2, 3), torch.ones(3, 4), torch.zeros(3, dtype=torch.int32))
DRAW = AugmentDraw(torch.tensor(0), torch.tensor(0), INDEX, Ranges())
VIEWS = torch.zeros(3, 3, 6, 6)
UNALIGNED = torch.zeros(3 * 6 * 6 * 4 + 1, dtype=torch.float16)[1:].view(3, 6, 6, 4).permute(0, 3, 1, 2)
BATCH = torch.zeros(3, 3, 8, 9)
CROPPED = DRAW._replace(ranges=Ranges(random_crop=True))


def _augment(pixels=PIXELS, index=INDEX, views=PARAMS, size=6, **options) -> Callable[[], object]:
    return lambda: augment(pixels, index, views, **{"size": size, "impl": "torch", **options})


def _loss(logits=(4, 37), targets=(4, 37), **options) -> Callable[[], object]:
    tensors = [torch.zeros(one) if isinstance(one, tuple) else one for one in (logits, targets)]
    return lambda: sigmoid_mse(*tensors, **{"impl": "torch", **options})


def _view(batch=BATCH, *given: object, **options) -> Callable[[], object]:
    return lambda: RandomView(**{"size": 6, "impl": "torch", **options})(batch, *given)


def _norm(x=(2, 3, 4, 4), weight=(3,), mean=(3,), **options) -> Callable[[], object]:
    x, weight, mean = (torch.zeros(one) if isinstance(one, tuple) else one for one in (x, weight, mean))
    return lambda: norm_relu_pool(x, weight, torch.zeros(3), mean, torch.ones(3), **{"impl": "torch", **options})


def _tree(logits: tuple[int, int], targets: tuple[int, int]) -> Callable[[], object]:
    return lambda: tree_mse(torch.zeros(logits), torch.zeros(targets), Tree((3,), (None,)), impl="torch")


def _fused(tree: Tree) -> Callable[[], object]:
    zeros = torch.zeros(1, sum(tree.sizes))
    return lambda: tree_mse(zeros, zeros, tree, impl="triton")


AUGMENT = [
    (_augment(impl="cuda"), "impl"),
    (_augment(border="wrap"), "border"),
    (_augment(layout=5), "layout"),
    (_augment(dtype=torch.float64), "dtype"),
    (_augment(pixels=PIXELS[..., :3]), "pixels"),
    (_augment(pixels=PIXELS.float()), "pixels"),
    (_augment(pixels=PIXELS[:, :7]), "pixels"),
    (_augment(pixels=PIXELS.transpose(1, 2)), "pixels"),
    (_augment(index=INDEX[None]), "index"),
    (_augment(index=INDEX.to("meta")), "index"),
    (_augment(index=INDEX[:2]), "affine"),
    (_augment(views=PARAMS._replace(affine=PARAMS.affine.double())), "affine"),
    (_augment(views=PARAMS._replace(order=None)), "AugmentParams"),
    (_augment(views=PARAMS._replace(jitter=torch.ones(3, 3))), "jitter"),
    (_augment(views=DRAW._replace(seed=torch.tensor([0]))), "seed"),
    (_augment(views=DRAW._replace(epoch=torch.tensor(0.5))), "epoch"),
    (_augment(views=DRAW._replace(ids=INDEX[:1])), "ids"),
    (_augment(out=VIEWS), "out"),
    (_augment(out=VIEWS[:2]), "out"),
    (_augment(out=VIEWS[:, :2]), "out"),
    (_augment(out=UNALIGNED, impl="triton"), "out"),
    (_augment(views=CROPPED, size=9), "size"),
    (lambda: sample(CROPPED, side=(8, 20), size=(9, 9)), "size"),
]

VIEW = [
    (_view(impl="auto"), "impl"),
    (_view(border="wrap"), "border"),
    (_view(crop="corner"), "crop"),
    (_view(dtype=torch.float64), "dtype"),
    (_augment(size=0), "size"),
    (_view(size=(6, 0)), "size"),
    (_view(jitter=(0.1, 0.1)), "jitter"),
    (_view(crop="random", size=(6, 10)), "size"),
    (_view(BATCH.double()), "batch"),
    (_view(BATCH[:, :1]), "batch"),
    (_view(BATCH[..., :0]), "batch"),
    (_view(BATCH.to("meta")), "batch"),
    (_view(BATCH.clone().requires_grad_()), "batch"),
    (_view(BATCH, INDEX), "forward"),
    (_view(BATCH, INDEX[:2], 0), "ids"),
]

LOSS = [
    (_loss(impl="eager"), "impl"),
    (_loss(logits=torch.zeros(4, 37).double()), "logits"),
    (_loss(logits=(0, 37)), "logits"),
    (_loss(targets=(4, 36)), "targets"),
    (_loss(targets=torch.zeros(4, 37).half()), "targets"),
    (_loss(logits=torch.zeros(37, 4).T), "logits"),
    (_loss(targets=torch.zeros(1, 37).expand(4, 37)), "targets"),
    (_loss(weight=torch.ones(74)[::2]), "weight"),
    (_loss(weight=torch.ones(36)), "weight"),
]

NORM = [
    (_norm(x=(3, 4, 4)), "x"),
    (_norm(x=torch.zeros(2, 3, 4, 4).double()), "x"),
    (_norm(x=(0, 3, 4, 4)), "x"),
    (_norm(x=(2, 3, 4, 1)), "x"),
    (_norm(weight=(4,)), "weight"),
    (_norm(mean=torch.zeros(3).half()), "running_mean"),
    (_norm(mean=torch.zeros(3, device="meta")), "running_mean"),
]

RANGES = [
    (lambda: Ranges(rotation=181), "Ranges.rotation"),
    (lambda: Ranges(shift=-1), "Ranges.shift"),
    (lambda: Ranges(contrast=float("nan")), "Ranges.contrast"),
    (lambda: Ranges(zoom=0.9), "Ranges.zoom"),
    (lambda: Ranges(zoom=1.51), "Ranges.zoom"),
]


NINE_LEVELS = Tree((2,) * 9, (None, *range(0, 16, 2)))

TREE = [
    (lambda: Tree((2, 2), (None,)), "Tree"),
    (lambda: Tree((2, 0), (None, 0)), "Tree, question 1"),
    (lambda: Tree((2, 2), (None, 2)), "Tree, question 1"),
    (lambda: Tree((2, 2), (None, -1)), "Tree, question 1"),
    (_tree((2, 4), (2, 4)), "logits"),
    (_tree((2, 3), (3, 3)), "targets"),
    (_fused(Tree((1025,), (None,))), "tree"),
    (_fused(Tree((2,) * 65, (None,) * 65)), "tree"),
    (_fused(NINE_LEVELS), "tree"),
]

# What a user of torchvision may type; what of it can be meant is in test_inputs.
FOREIGN = [
    (_view(jitter=0.4), "jitter"),
    (_view(jitter=((0.9, 1.1), 0, 0, 0)), "jitter"),
    (_view(flips="ab"), "flips"),
    (_view(degrees=(0, 10)), "degrees"),
    (_view(degrees="10"), "degrees"),
    (_view(size=10.5), "size"),
    (_view(size="10"), "size"),
    (_view(size=(3, 10, 10)), "size"),
    (_view(std=(0.5, 0.0, 0.5)), "std"),
    (_view(mean=0.5), "mean"),
    (_view(mean=(0.5, float("nan"), 0.5)), "mean"),
    (_view(zoom=(0.9, 1.1)), "Ranges.zoom"),
    (_view(shift=float("inf")), "Ranges.shift"),
    (_view(seed=1.5), "seed"),
    (_view(seed=2**64), "seed"),
    (_view(seed="1"), "seed"),
    (_view(impl=None), "impl"),
    (_view(impl=["torch"]), "impl"),
    (_view(dtype="float32"), "dtype"),
    (_view(BATCH.numpy()), "batch"),
    (_view([BATCH[0]]), "batch"),
    (_view(BATCH[0]), "batch"),
    (_view(BATCH.permute(0, 2, 3, 1)), "batch"),
    (_view(BATCH, [0, 1, 2], "1"), "epoch"),
    (_view(BATCH, [0.5, 1.0, 2.0], 1), "ids"),
    (_augment(index=torch.tensor([True, False, True])), "index"),
    (_augment(index=[0.0, 1.0, 2.0]), "index"),
    (_augment(index=[2**70, 1, 2]), "index"),
    (_augment(pixels=PIXELS.numpy()), "pixels"),
    (_augment(views=Ranges()), "params_or_draw"),
    (_augment(views=DRAW._replace(ranges=None)), "AugmentDraw.ranges"),
    (lambda: Ranges(rotation="180"), "Ranges.rotation"),
    (_loss(logits=[[0.0]]), "logits"),
    (_loss(targets=np.zeros((4, 37), np.float32)), "targets"),
    (lambda: tree_probabilities(torch.zeros(2, 4), Tree((3,), (None,))), "logits"),
    (lambda: tree_probabilities(torch.zeros(2, 3, dtype=torch.int64), Tree((3,), (None,))), "logits"),
    (lambda: NormReluPool(3, impl="torch")(np.zeros((1, 3, 4, 4), np.float32)), "x"),
    (lambda: NormReluPool(3, momentum=2, impl="torch"), "momentum"),
    (_norm(eps=float("nan")), "eps"),
    (lambda: unavailable("cuda", torch.device("cpu")), "impl"),
    (lambda: view_affine(*(torch.zeros(2, 2) for _ in range(5)), side=8), "turns"),
]

CASES = AUGMENT + VIEW + LOSS + TREE + NORM + RANGES + FOREIGN


@pytest.mark.parametrize(("use", "where"), CASES, ids=[f"{number}-{where}" for number, (_, where) in enumerate(CASES)])
def test_wrong_use_is_explained(use: Callable[[], object], where: str) -> None:
    with pytest.raises(ValueError, match=rf"Expected .+, got .+ \({re.escape(where)}\): ."):
        use()


def test_images_of_another_order_are_permuted() -> None:
    """Reshaped, they would fit too, and hold other images."""
    with pytest.raises(ValueError, match=re.escape("[3, 8, 9, 3] (batch): call .permute(0, 3, 1, 2)")):
        _view(BATCH.permute(0, 2, 3, 1))()
    with pytest.raises(ValueError, match=re.escape("got [5, 4, 8, 8] (pixels): call .permute(0, 2, 3, 1)")):
        _augment(pixels=PIXELS.permute(0, 3, 1, 2))()


GRADIENT = torch.zeros(37, requires_grad=True)
AFFINE = torch.zeros(3, 2, 3, requires_grad=True)
VALUES = {
    "row before the first": lambda impl: _augment(index=INDEX - 1, impl=impl),
    "row past the last": lambda impl: _augment(index=INDEX + 3, impl=impl),
    "order 24": lambda impl: _augment(views=PARAMS._replace(order=INDEX + 22), impl=impl),
    "order -1": lambda impl: _augment(views=PARAMS._replace(order=INDEX - 1), impl=impl),
    "affine nan": lambda impl: _augment(views=PARAMS._replace(affine=PARAMS.affine * torch.nan), impl=impl),
    "affine infinite": lambda impl: _augment(views=PARAMS._replace(affine=PARAMS.affine + torch.inf), impl=impl),
    "jitter nan": lambda impl: _augment(views=PARAMS._replace(jitter=PARAMS.jitter * torch.nan), impl=impl),
    "epoch -1": lambda impl: _augment(views=DRAW._replace(epoch=-1), impl=impl),
    "epoch of 33 bits": lambda impl: _view(BATCH, INDEX, torch.tensor(2**32), impl=impl),
    "floats beyond 1": lambda impl: _view(BATCH + 2, impl=impl),
    "floats below 0": lambda impl: _view(BATCH - 1e-3, impl=impl),
    "nan in a batch": lambda impl: _view(BATCH * torch.nan, impl=impl),
    "affine with gradient": lambda impl: _augment(views=PARAMS._replace(affine=AFFINE), impl=impl),
    "targets with gradient": lambda impl: _loss(targets=GRADIENT.expand(4, 37).contiguous(), impl=impl),
    "weight with gradient": lambda impl: _loss(weight=GRADIENT, impl=impl),
    "running mean with gradient": lambda impl: _norm(mean=torch.zeros(3, requires_grad=True), impl=impl),
    "running mean expanded": lambda impl: _norm(mean=torch.zeros(1).expand(3), impl=impl),
}  # fmt: skip


@pytest.mark.parametrize("impl", ["torch", "compile", "triton"])
@pytest.mark.parametrize("use", VALUES.values(), ids=VALUES)
def test_all_implementations_refuse_the_same_values(use: Callable[[str], Callable[[], object]], impl: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        use(impl)()
