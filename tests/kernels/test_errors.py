"""Every wrong use of the public functions: a ValueError that says what was expected, what came and what to do."""

import re
from collections.abc import Callable

import pytest
import torch

from galaxy_triton.kernels import (
    AugmentDraw,
    AugmentParams,
    RandomView,
    Ranges,
    Tree,
    augment,
    norm_relu_pool,
    sample,
    sigmoid_mse,
    tree_mse,
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


def _view(batch=BATCH, *given: object, size=6, **options) -> Callable[[], object]:
    return lambda: RandomView(size, **{"impl": "torch", **options})(batch, *given)


def _norm(x=(2, 3, 4, 4), weight=(3,), mean=(3,), **options) -> Callable[[], object]:
    x, weight, mean = (torch.zeros(one) if isinstance(one, tuple) else one for one in (x, weight, mean))
    return lambda: norm_relu_pool(x, weight, torch.zeros(3), mean, torch.ones(3), **{"impl": "torch", **options})


def _tree(logits: tuple[int, int], targets: tuple[int, int]) -> Callable[[], object]:
    return lambda: tree_mse(torch.zeros(logits), torch.zeros(targets), Tree((3,), (None,)), impl="torch")


def _fused(tree: Tree) -> Callable[[], object]:
    zeros = torch.zeros(1, sum(tree.sizes))
    return lambda: tree_mse(zeros, zeros, tree, impl="triton")


AUGMENT = [
    (_augment(impl="cuda"), "Expected one of torch, compile, triton, got 'cuda' (impl): choose one"),
    (_augment(border="wrap"), "Expected one of zeros, reflect, got 'wrap' (border): choose one"),
    (_augment(layout=5), "Expected 3 or 4, got 5 (layout): choose one"),
    (_augment(dtype=torch.float64), "Expected float32 or float16 or bfloat16, got float64 (out): convert it"),
    (_augment(pixels=PIXELS[..., :3]), "Expected shape [any, any, any, 4], got [5, 8, 8, 3] (pixels): reshape it"),
    (_augment(pixels=PIXELS.float()), "Expected uint8, got float32 (pixels): convert it"),
    (_augment(pixels=PIXELS[:, :7]), "Expected square images, got [5, 7, 8, 4] (pixels): crop or pad them"),
    (_augment(pixels=PIXELS.transpose(1, 2)), "Expected contiguous memory, got (256, 4, 32, 1) (pixels)"),
    (_augment(index=INDEX.int()), "Expected int64, got int32 (index): convert it"),
    (_augment(index=INDEX[None]), "Expected shape [any], got [1, 3] (index): reshape it"),
    (_augment(index=INDEX.to("meta")), "Expected a tensor on cpu, got meta (index): move it there"),
    (_augment(index=INDEX[:2]), "Expected shape [2, 2, 3], got [3, 2, 3] (affine): reshape it"),
    (_augment(views=PARAMS._replace(affine=PARAMS.affine.double())), "Expected float32, got float64 (affine)"),
    (_augment(views=PARAMS._replace(order=None)), "Expected jitter and order together, got one of them"),
    (_augment(views=PARAMS._replace(jitter=torch.ones(3, 3))), "Expected shape [3, 4], got [3, 3] (jitter)"),
    (_augment(views=PARAMS._replace(order=INDEX)), "Expected int32, got int64 (order): convert it"),
    (_augment(views=DRAW._replace(seed=torch.tensor([0]))), "Expected shape [], got [1] (seed): reshape it"),
    (_augment(views=DRAW._replace(epoch=torch.tensor(0.5))), "Expected int64, got float32 (epoch): convert it"),
    (_augment(views=DRAW._replace(ids=INDEX[:1])), "Expected shape [3], got [1] (ids): reshape it"),
    (_augment(out=VIEWS), "Expected channels_last memory, got (108, 36, 6, 1) (out)"),
    (_augment(out=VIEWS[:2]), "Expected shape [3, any, 6, 6], got [2, 3, 6, 6] (out): reshape it"),
    (_augment(out=VIEWS[:, :2]), "Expected 3 or 4 channels, got 2 (out): choose one"),
    (_augment(out=UNALIGNED, impl="triton"), "Expected memory that begins at a multiple of 8 bytes, got 2 (out): copy"),
    (_augment(index=INDEX + 3), "Expected rows 0 to 4, got 3 to 5 (index): choose from these"),
    (_augment(index=INDEX - 1), "Expected rows 0 to 4, got -1 to 1 (index): choose from these"),
    (_augment(index=INDEX + 3, impl="triton"), "Expected rows 0 to 4, got 3 to 5 (index): choose from these"),
    (_augment(views=CROPPED, size=9), "Expected at most 8 x 8 pixels for a random crop, got 9 x 9 (size)"),
    (lambda: sample(CROPPED, side=(8, 20), size=(9, 9)), "Expected at most 8 x 20 pixels for a random crop, got 9 x 9"),
]

VIEW = [
    (_view(impl="auto"), "Expected one of torch, compile, triton, got 'auto' (impl): choose one"),
    (_view(border="wrap"), "Expected one of zeros, reflect, got 'wrap' (border): choose one"),
    (_view(crop="corner"), "Expected one of centre, random, got 'corner' (crop): choose one"),
    (_view(dtype=torch.float64), "Expected float32, float16 or bfloat16, got torch.float64 (dtype): choose one"),
    (_augment(size=0), "Expected a view of 1 to 536870912 pixels, got 0 x 0 (size): change it"),
    (_view(size=(6, 0)), "Expected a view of 1 to 536870912 pixels, got (6, 0) (size): choose another"),
    (_view(jitter=(0.1, 0.1)), "Expected 4 numbers, got (0.1, 0.1) (jitter): give as many"),
    (_view(crop="random", size=(6, 10)), "Expected at most 8 x 9 pixels for a random crop, got 6 x 10 (size)"),
    (_view(BATCH.double()), "Expected uint8 or float32 or float16 or bfloat16, got float64 (batch): convert it"),
    (_view(BATCH[:, :1]), "Expected shape [any, 3, any, any], got [3, 1, 8, 9] (batch): reshape it"),
    (_view(BATCH[..., :0]), "Expected images of 1 to 536870912 pixels, got 0 (batch): cut them"),
    (_view(BATCH.to("meta")), "Expected a batch on cpu, as the module, got meta (batch): move one of them"),
    (_view(BATCH.clone().requires_grad_()), "Expected a batch without gradient, got one that requires it (batch)"),
    (_view(BATCH, INDEX), "Expected ids and epoch, got one of them (forward): give both or none"),
    (_view(BATCH, INDEX[:2], 0), "Expected shape [3], got [2] (ids): reshape it"),
    (_view(BATCH, INDEX, -1), "Expected 0 to 2**32 - 1, got -1 (epoch): count epochs"),
]

LOSS = [
    (_loss(impl="eager"), "Expected one of torch, compile, triton, got 'eager' (impl): choose one"),
    (_loss(logits=torch.zeros(4, 37).double()), "Expected float32 or float16 or bfloat16, got float64 (logits)"),
    (_loss(logits=(0, 37)), "Expected at least one row, got [0, 37] (logits): skip an empty batch"),
    (_loss(targets=(4, 36)), "Expected shape [4, 37], got [4, 36] (targets): reshape it"),
    (_loss(targets=torch.zeros(4, 37).half()), "Expected float32, got float16 (targets): convert it"),
    (_loss(logits=torch.zeros(37, 4).T), "Expected contiguous memory, got (1, 4) (logits): call .contiguous()"),
    (_loss(targets=torch.zeros(1, 37).expand(4, 37)), "Expected contiguous memory, got (0, 1) (targets)"),
    (_loss(weight=torch.ones(74)[::2]), "Expected contiguous memory, got (2,) (weight): call .contiguous()"),
    (_loss(weight=torch.ones(36)), "Expected shape [37], got [36] (weight): reshape it"),
]

NORM = [
    (_norm(x=(3, 4, 4)), "Expected shape [any, any, any, any], got [3, 4, 4] (x): reshape it"),
    (_norm(x=torch.zeros(2, 3, 4, 4).double()), "Expected float32 or float16 or bfloat16, got float64 (x): convert it"),
    (_norm(x=(0, 3, 4, 4)), "Expected at least one image of 2x2 pixels or more, got [0, 3, 4, 4] (x): skip it"),
    (_norm(x=(2, 3, 4, 1)), "Expected at least one image of 2x2 pixels or more, got [2, 3, 4, 1] (x): skip it"),
    (_norm(weight=(4,)), "Expected shape [3], got [4] (weight): reshape it"),
    (_norm(mean=torch.zeros(3).half()), "Expected float32, got float16 (running_mean): convert it"),
    (_norm(mean=torch.zeros(3, device="meta")), "Expected a tensor on cpu, got meta (running_mean): move it there"),
]

RANGES = [
    (lambda: Ranges(rotation=181), "Expected 0 to 180.0, got 181 (Ranges.rotation): change it"),
    (lambda: Ranges(shift=-1), "Expected 0 to inf, got -1 (Ranges.shift): change it"),
    (lambda: Ranges(contrast=float("nan")), "Expected 0 to 1.0, got nan (Ranges.contrast): change it"),
    (lambda: Ranges(zoom=0.9), "Expected 1 to 1.5, got 0.9 (Ranges.zoom): there is no antialiasing"),
    (lambda: Ranges(zoom=1.51), "Expected 1 to 1.5, got 1.51 (Ranges.zoom): there is no antialiasing"),
]


NINE_LEVELS = Tree((2,) * 9, (None, *range(0, 16, 2)))

TREE = [
    (lambda: Tree((2, 2), (None,)), "Expected as many parents as sizes, got 1 (Tree): match"),
    (lambda: Tree((2, 0), (None, 0)), "Expected at least one answer, got 0 (Tree, question 1): remove the question"),
    (lambda: Tree((2, 2), (None, 2)), "Expected a parent column below 2, got 2 (Tree, question 1): order parents"),
    (lambda: Tree((2, 2), (None, -1)), "Expected a parent column below 2, got -1 (Tree, question 1): order parents"),
    (_tree((2, 4), (2, 4)), "Expected shape [any, 3], got [2, 4] (logits): reshape it"),
    (_tree((2, 3), (3, 3)), "Expected shape [2, 3], got [3, 3] (targets): reshape it"),
    (_fused(Tree((1025,), (None,))), "Expected at most 1024 answers, got 1025 (tree): choose impl='torch' or"),
    (_fused(Tree((2,) * 65, (None,) * 65)), "Expected at most 64 questions, got 65 (tree): choose impl='torch' or"),
    (_fused(NINE_LEVELS), "Expected at most 8 levels, got 9 (tree): choose impl='torch' or 'compile'"),
]

CASES = AUGMENT + VIEW + LOSS + TREE + NORM + RANGES


@pytest.mark.parametrize(("use", "message"), CASES, ids=[message for _, message in CASES])
def test_wrong_use_is_explained(use: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        use()
