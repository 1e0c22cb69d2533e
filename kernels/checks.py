"""The checks that every public function makes, and their one form of message."""

from collections.abc import Collection

import torch
from torch import Tensor

# The floating-point types that the kernels read and write.
FLOATS = (torch.float32, torch.float16, torch.bfloat16)

MAX_PIXELS = 2**29  # of an image or a view: they count the places of up to four channels in 32 bits


def require(holds: bool, want: str, got: object, where: str, do: str) -> None:
    """Raise ValueError("Expected <want>, got <got> (<where>): <do>") unless `holds`."""
    if not holds:
        raise ValueError(f"Expected {want}, got {got} ({where}): {do}")


def require_choice(choice: str, known: Collection[str], where: str) -> None:
    """Raise ValueError unless `choice` is one of the names known."""
    require(choice in known, "one of " + ", ".join(known), repr(choice), where, "choose one")


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


def require_loss_inputs(logits: Tensor, targets: Tensor, weight: Tensor | None, columns: int | None) -> None:
    """Raise ValueError unless logits [B, columns], targets and weight are valid inputs of the losses."""
    require_tensor(logits, "logits", (None, columns), FLOATS, logits.device)
    require(logits.numel() > 0, "at least one row", list(logits.shape), "logits", "skip an empty batch")
    require_tensor(targets, "targets", tuple(logits.shape), (torch.float32,), logits.device)
    if weight is not None:
        require_tensor(weight, "weight", (logits.shape[1],), (torch.float32,), logits.device)
    for name, tensor in (("logits", logits), ("targets", targets), ("weight", weight)):
        if tensor is not None:
            require(tensor.is_contiguous(), "contiguous memory", tensor.stride(), name, "call .contiguous()")


def require_rows(index: Tensor, count: int) -> None:
    """Raise ValueError unless every row is one of `count`.

    On the CPU alone: looking would make the host wait for another device, and torch.compile checks for itself.
    """
    if index.device.type == "cpu" and not torch.compiler.is_compiling() and len(index):
        low, high = int(index.amin()), int(index.amax())
        require(low >= 0 and high < count, f"rows 0 to {count - 1}", f"{low} to {high}", "index", "choose from these")
