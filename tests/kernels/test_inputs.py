"""What the public functions take: integers of any type, tensors of any stride, numbers in any container."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

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
    unavailable,
)

IMPLS = ("torch", "triton")
ALL = (*IMPLS, "compile")
PIXELS = torch.randint(0, 256, (9, 12, 12, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
ROWS = torch.tensor([4, 0, 8])
IDS = torch.tensor([2**40 + 5, 17, 3])
RANGES = Ranges(rotation=180, zoom=1.2, shift=2, brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1)
BATCH = PIXELS[..., :3].permute(0, 3, 1, 2).contiguous()
UINTS = [torch.uint16, torch.uint32, torch.uint64]


def views(index: object = ROWS, params: object = None, *, impl: str = "torch", **options: object) -> Tensor:
    params = AugmentDraw(7, 2, IDS, RANGES) if params is None else params
    return augment(PIXELS, index, params, **{"size": 10, "impl": impl, **options})


def strided(values: Tensor) -> Tensor:
    """The same values, every second of a tensor twice as long."""
    return torch.stack((values, torch.zeros_like(values)), dim=-1)[..., 0]


@pytest.mark.parametrize("index", [ROWS.int(), ROWS.to(torch.uint8), ROWS.tolist(), ROWS.numpy()])
@pytest.mark.parametrize("ids", [IDS.tolist(), IDS.numpy()])
def test_rows_and_ids_in_any_form_give_the_same_views(index: object, ids: object) -> None:
    assert torch.equal(views(index, AugmentDraw(7, 2, ids, RANGES)), views())


@pytest.mark.parametrize("impl", IMPLS)
def test_columns_of_a_table_are_rows_and_ids(impl: str) -> None:
    assert torch.equal(views(strided(ROWS), AugmentDraw(7, 2, strided(IDS), RANGES), impl=impl), views(impl=impl))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.uint8, *UINTS])
def test_ids_and_seeds_of_any_integer_type_draw_the_same(dtype: torch.dtype) -> None:
    ids = torch.arange(100)
    want = sample(AugmentDraw(7, 2, ids, RANGES), side=12, size=10)
    typed = AugmentDraw(torch.tensor(7, dtype=dtype), torch.tensor(2, dtype=dtype), ids.to(dtype), RANGES)
    for found, wanted in zip(sample(typed, side=12, size=10), want, strict=True):
        assert torch.equal(found, wanted)
    assert len(want.affine.unique(dim=0)) == 100


def test_a_seed_of_64_bits_is_the_same_as_a_number_and_as_a_tensor() -> None:
    bits = 2**64 - 3
    assert torch.equal(views(params=AugmentDraw(bits, 2, IDS, RANGES)), views(params=AugmentDraw(-3, 2, IDS, RANGES)))


@pytest.mark.parametrize("impl", IMPLS)
def test_one_row_expanded(impl: str) -> None:
    row = torch.tensor([4])
    assert torch.equal(views(row.expand(3), impl=impl), views(row.repeat(3), impl=impl))


@pytest.mark.parametrize("impl", IMPLS)
def test_parameters_of_any_stride(impl: str) -> None:
    params = sample(AugmentDraw(7, 2, IDS, RANGES), side=12, size=10)
    given = AugmentParams(*map(strided, params))
    assert torch.equal(views(params=given, impl=impl), views(params=params, impl=impl))
    wide = params._replace(order=params.order.long())
    assert torch.equal(views(params=wide, impl=impl), views(params=params, impl=impl))


@pytest.mark.parametrize("impl", IMPLS)
def test_a_default_dtype_of_float64_changes_nothing(impl: str) -> None:
    want, loss = views(impl=impl), sigmoid_mse(torch.ones(2, 3), torch.zeros(2, 3), impl=impl)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(views(impl=impl), want)
        ones, zeros = torch.ones(2, 3, dtype=torch.float32), torch.zeros(2, 3, dtype=torch.float32)
        assert torch.equal(sigmoid_mse(ones, zeros, impl=impl), loss)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("impl", IMPLS)
def test_a_seed_survives_any_type_and_materialisation(impl: str) -> None:
    want = RandomView(10, degrees=180, seed=7, impl=impl)
    typed = RandomView(10, degrees=180, seed=np.int32(7), impl=impl)
    with torch.device("meta"):
        empty = RandomView(10, degrees=180, seed=7, impl=impl)
    empty.to_empty(device="cpu")
    empty.load_state_dict(want.state_dict())
    first = want(BATCH)
    assert torch.equal(typed(BATCH), first)
    assert torch.equal(empty(BATCH), first)
    RandomView(10, seed=2**64 - 1, impl=impl)(BATCH)  # as large as torch.seed() gives


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"size": (10, 10)}, {"size": 10}),
        ({"size": [10, 10]}, {"size": 10}),
        ({"size": np.int64(10)}, {"size": 10}),
        ({"degrees": (-30, 30)}, {"degrees": 30}),
        ({"degrees": [-30.0, 30.0]}, {"degrees": 30}),
        ({"degrees": np.float32(30)}, {"degrees": 30}),
        ({"flips": 0.5}, {"flips": (0.5, 0.5)}),
        ({"jitter": [0.1, 0.2, 0.3, 0.1]}, {"jitter": (0.1, 0.2, 0.3, 0.1)}),
        ({"mean": torch.tensor([0.5, 0.25, 0.5])}, {"mean": (0.5, 0.25, 0.5)}),
        ({"std": np.array([0.5, 0.25, 0.5])}, {"std": (0.5, 0.25, 0.5)}),
    ],
    ids=str,
)
def test_values_as_torchvisions_users_type_them(given: dict[str, object], same: dict[str, object]) -> None:
    one, other = (RandomView(**{"size": 10, "impl": "torch", **options}) for options in (given, same))
    assert torch.equal(one(BATCH), other(BATCH))


def test_augment_takes_a_height_and_a_width() -> None:
    assert torch.equal(views(size=(10, 10)), views())
    assert views(size=(6, 9), impl="triton").shape == (3, 3, 6, 9)


def test_a_device_may_be_a_text_and_a_tree_lists() -> None:
    assert unavailable("torch", "cpu") is None
    assert hash(Tree([2, 2], [None, 1])) == hash(Tree((2, 2), (None, 1)))


@pytest.mark.parametrize("impl", IMPLS)
def test_weights_of_a_norm_may_be_columns(impl: str) -> None:
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    table = torch.tensor([[0.5, 1.0], [-1.0, 2.0], [2.0, 0.0]])
    found = []
    for weight, bias in (table.unbind(1), table.T.contiguous().unbind(0)):
        leaves = [x.clone().requires_grad_(), weight.detach().requires_grad_(), bias.detach().requires_grad_()]
        y = norm_relu_pool(*leaves, torch.zeros(3), torch.ones(3), impl=impl)
        found.append((y, *torch.autograd.grad((y * y).sum(), leaves)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_a_block_end_is_no_batch_norm() -> None:
    """What replaces batch norms leaves it as it is, and its checkpoint is one of a batch norm."""
    block = nn.Sequential(nn.Conv2d(3, 4, 1), NormReluPool(4, impl="torch"))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(block)
    assert isinstance(converted[1], NormReluPool)
    plain = nn.BatchNorm2d(4)
    plain.load_state_dict(block[1].state_dict())
    block[1].load_state_dict(plain.state_dict())
