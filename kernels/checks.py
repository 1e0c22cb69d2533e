"""The checks that every public function makes, and their one form of message."""

import torch
from torch import Tensor


def require(holds: bool, want: str, got: object, where: str, do: str) -> None:
    """Raise ValueError("Expected <want>, got <got> (<where>): <do>") unless `holds`."""
    if not holds:
        raise ValueError(f"Expected {want}, got {got} ({where}): {do}")


def require_tensor(
    tensor: Tensor, name: str, shape: tuple[int | None, ...], dtypes: tuple[torch.dtype, ...], device: torch.device
) -> None:
    """Raise ValueError unless `tensor` has one of `dtypes`, lies on `device` and has `shape` (None: any length)."""
    fits = tensor.dim() == len(shape) and all(
        want in (None, got) for want, got in zip(shape, tensor.shape, strict=True)
    )
    wanted = ", ".join("any" if length is None else str(length) for length in shape)
    require(fits, f"shape [{wanted}]", list(tensor.shape), name, "reshape it")
    kinds = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
    require(tensor.dtype in dtypes, kinds, str(tensor.dtype).removeprefix("torch."), name, "convert it")
    require(tensor.device == device, f"a tensor on {device}", tensor.device, name, "move it there")
