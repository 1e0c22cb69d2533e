"""The registry: shapes, sizes against torchvision's own and against sums by hand, weights from a seed."""

import copy
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from galaxy_triton.config.schema import MODELS, Network
from galaxy_triton.kernels import NormReluPool
from galaxy_triton.model.body import build
from galaxy_triton.system.errors import UsageFault

SMALL = Network(widths=(4, 6), convs=2, hidden=5)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def built(network: Network, seed: int = 1) -> tuple[nn.Module, int]:
    torch.manual_seed(seed)
    return build(network)


def on_meta(network: Network) -> tuple[nn.Module, int]:
    """The network without its numbers: the big ones take seconds to fill."""
    with torch.device("meta"):
        return build(network)


@pytest.mark.parametrize("name", MODELS)
def test_build(name: str) -> None:
    """Views of two sizes become features of the length that it says."""
    body, features = on_meta(Network(name=name))
    for side in (33, 64):
        views = torch.empty(2, 3, side, side, device="meta")
        assert body(views).shape == (2, features)


@pytest.mark.parametrize(
    ("name", "twin", "removed"),
    [("vgg11", "vgg11_bn", (4096, 1000)), ("vgg16", "vgg16_bn", (4096, 1000)), ("resnet50", "resnet50", (2048, 1000))],
)
def test_build_torchvision(name: str, twin: str, removed: tuple[int, int]) -> None:
    """torchvision's parameters, less its last layer; its dropout is ours."""
    from torchvision import models

    body, features = on_meta(Network(name=name, dropout=0.3))
    with torch.device("meta"):
        whole = getattr(models, twin)(weights=None)
    inputs, outputs = removed
    assert features == inputs
    assert count(body) == count(whole) - inputs * outputs - outputs
    dropouts = {module.p for module in body.modules() if isinstance(module, nn.Dropout)}
    assert dropouts == {0.3}


def test_build_says_what_brings_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UsageFault, match=r"--model vgg11.*pip install torchvision"):
        build(Network(name="vgg11"))
    built(SMALL)


def test_build_says_what_mends_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installing it would change nothing: it is there, for another torch."""
    monkeypatch.setitem(sys.modules, "torchvision", Broken("torchvision"))
    with pytest.raises(UsageFault, match=r"no nms\): pip install --force-reinstall torch torchvision"):
        build(Network(name="vgg11"))


class Broken(ModuleType):
    """A torchvision that cannot be imported beside this torch."""

    @property
    def models(self) -> None:
        raise RuntimeError("no nms")


@pytest.mark.parametrize(("widths", "convs", "hidden"), [((4,), 1, 0), ((5, 7, 9), 2, 5)])
def test_build_galaxy_vgg(widths: tuple[int, ...], convs: int, hidden: int) -> None:
    """A block: `convs` 3x3 convolutions without bias and batch norms; then the layer of `hidden` units, if any."""
    body, features = built(Network(widths=widths, convs=convs, hidden=hidden))
    pairs = zip((3, *widths), widths, strict=False)
    blocks = sum(9 * inputs * width + (convs - 1) * 9 * width * width + convs * 2 * width for inputs, width in pairs)
    assert count(body) == blocks + (hidden * (widths[-1] + 1) if hidden else 0)
    assert features == (hidden or widths[-1])
    kinds = [type(module) for module in body.modules()]
    assert kinds.count(nn.MaxPool2d) == len(widths)
    assert kinds.count(nn.Dropout) == (2 if hidden else 1)
    assert {module.p for module in body.modules() if isinstance(module, nn.Dropout)} == {0.5}
    assert body(torch.rand(2, 3, 17, 17)).shape == (2, features)


def test_galaxy_vgg_computes_what_its_name_says() -> None:
    """The same by hand: convolution, normalisation by running moments, ReLU, pooling, the mean over places."""
    body, _ = built(replace(SMALL, hidden=0))
    for name, buffer in body.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2)
    views = torch.rand(2, 3, 16, 16)
    want = views.double()
    for block in body.eval().double().blocks:
        for conv, norm in ((block[0], block[1]), (block[3], block[4])):
            want = torch.conv2d(want, conv.weight, padding=1)
            want = (want - wide(norm.running_mean)) / (wide(norm.running_var) + 1e-5).sqrt()
            want = (want * wide(norm.weight) + wide(norm.bias)).clamp(min=0)
        want = want.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    with torch.no_grad():
        got = body.float()(views)
    assert torch.allclose(got.double(), want.mean((2, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [16, 17])
@pytest.mark.parametrize("convs", [1, 2])
def test_pooling_before_the_last_relu_changes_no_bit(convs: int, side: int) -> None:
    """Features, gradients and running statistics are those of blocks that end in ReLU, then pooling."""
    body, _ = built(replace(SMALL, convs=convs, dropout=0.0))
    twin = copy.deepcopy(body)
    for number, block in enumerate(twin.blocks):
        *layers, pool, relu = block
        twin.blocks[number] = nn.Sequential(*layers, relu, pool)
    views = torch.rand(8, 3, side, side).to(memory_format=torch.channels_last)
    for one in (body, twin):
        one(views).sin().sum().backward()
    names = [name for name, _ in body.named_parameters()]
    assert names == [name for name, _ in twin.named_parameters()]
    assert list(body.state_dict()) == list(twin.state_dict())
    assert all(map(torch.equal, body.state_dict().values(), twin.state_dict().values()))
    assert torch.equal(body(views), twin(views))
    for name, mine, other in zip(names, body.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad), name


def wide(values: Tensor) -> Tensor:
    return values[None, :, None, None]


def test_build_is_a_function_of_the_seed() -> None:
    weights = [state(1), state(1), state(2)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["blocks.0.0.weight"], weights[2]["blocks.0.0.weight"])


def state(seed: int) -> dict[str, Any]:
    return built(SMALL, seed)[0].state_dict()


def test_dropout_acts_in_training_alone() -> None:
    body, _ = built(replace(SMALL, dropout=0.5))
    views = torch.rand(4, 3, 8, 8)
    assert not torch.equal(body(views), body(views))
    body.eval()
    assert torch.equal(body(views), body(views))


@pytest.mark.parametrize("convs", [1, 2])
def test_fused_ends_compute_what_the_layers_do(convs: int) -> None:
    """Features, gradients and running statistics within rounding, by a state of the same names."""
    network = replace(SMALL, convs=convs, dropout=0.0)
    layers, _ = built(network)
    torch.manual_seed(1)
    fused, _ = build(network, "torch")
    assert list(fused.state_dict()) == list(layers.state_dict())
    assert all(map(torch.equal, fused.state_dict().values(), layers.state_dict().values()))
    assert sum(isinstance(module, NormReluPool) for module in fused.modules()) == 2
    views = torch.rand(8, 3, 16, 16).to(memory_format=torch.channels_last)
    results = []
    for body in (layers, fused):
        results.append(body(views))
        results[-1].sin().sum().backward()
    assert torch.allclose(*results, rtol=1e-5, atol=1e-6)
    for mine, other in zip(fused.parameters(), layers.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-4, atol=1e-5 * float(other.grad.abs().max()))
    for name, got in fused.state_dict().items():
        assert torch.allclose(got, layers.state_dict()[name], rtol=1e-5, atol=1e-6), name
    assert torch.allclose(fused.eval()(views), layers.eval()(views), rtol=1e-5, atol=1e-6)
