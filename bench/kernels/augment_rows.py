"""Every measured way to make the views, in the order of the table."""

import importlib.metadata

import torch

from bench.kernels.scene import Row
from bench.peers import dali, fixed_order, kornia, ours, torchvision, triton_augment
from galaxy_triton.kernels import unavailable

ROWS: dict[str, Row] = {
    "torchvision, per image": Row(torchvision.per_image, needs=("torchvision",)),
    "torchvision, per batch": Row(
        torchvision.per_batch, needs=("torchvision",), differs="one draw for the whole batch"
    ),
    "kornia": Row(kornia.eager, needs=("kornia",), differs="one colour order for the whole batch"),
    "kornia, compiled": Row(kornia.compiled, needs=("kornia",), impl="compile", differs="one fixed colour order"),
    "triton-augment": Row(
        triton_augment.build,
        needs=("triton-augment",),
        devices=("cuda",),
        impl="triton",
        differs="one fixed colour order, no hue, contrast about 0.5, computed in the views' dtype",
    ),
    "DALI": Row(
        dali.build,
        needs=("nvidia-dali-cuda130",),
        differs="one fixed colour order, contrast about 0.5, hue and saturation in YIQ, 8 bits before the colours",
    ),
    "torch reference": Row(ours.torch_reference),
    "torch reference, compiled": Row(ours.compiled_reference, impl="compile"),
    "fastest torch, fixed order": Row(fixed_order.build, impl="compile", differs="one fixed colour order"),
    "Triton, parameters given": Row(
        ours.triton_given, devices=("cuda",), impl="triton", differs="parameters drawn before the clock"
    ),
    "Triton, drawing its own": Row(ours.triton, devices=("cuda",), impl="triton"),
}


def reason_to_skip(row: Row, device: torch.device) -> str | None:
    """Why a row cannot be measured here; None if it can."""
    if device.type not in row.devices:
        return f"needs {' or '.join(row.devices)}, and this is {device.type}"
    return missing(row) or unavailable(row.impl, device)


def missing(row: Row) -> str | None:
    """The first missing distribution of a row, in words; None if all are installed."""
    absent = [name for name in row.needs if not _installed(name)]
    return f"{absent[0]} is not installed" if absent else None


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
