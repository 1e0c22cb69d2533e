"""The checks that every public function makes, and their one form of message."""

import math
import operator
from collections.abc import Collection, Sequence
from typing import Any, SupportsFloat

import torch
from torch import Tensor

# Integers that stand for a tensor of them: a tensor of any integer type, a NumPy array, a list.
Integers = Tensor | Sequence[int] | Any

# The floating-point types that the kernels read and write.
FLOATS = (torch.float32, torch.float16, torch.bfloat16)

INTEGERS = (
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
)  # fmt: skip

MAX_PIXELS = 2**29  # of an image or a view: they count the places of up to four channels in 32 bits


def require(holds: bool, want: str, got: object, where: str, do: str) -> None:
    """Raise ValueError("Expected <want>, got <got> (<where>): <do>") unless `holds`."""
    if not holds:
        raise ValueError(f"Expected {want}, got {got} ({where}): {do}")


def require_choice(choice: str, known: Collection[str], where: str) -> None:
    """Raise ValueError unless `choice` is one of the names known."""
    holds = isinstance(choice, str) and choice in known
    require(holds, "one of " + ", ".join(known), repr(choice), where, "choose one")


def require_tensor(
    tensor: Tensor, name: str, shape: tuple[int | None, ...], dtypes: tuple[torch.dtype, ...], device: torch.device
) -> None:
    """Raise ValueError unless `tensor` has one of `dtypes`, lies on `device` and has `shape` (None: any length)."""
    is_tensor = isinstance(tensor, Tensor)
    require(is_tensor, "a torch.Tensor", type(tensor).__name__, name, "convert it by torch.as_tensor")
    fits = tensor.dim() == len(shape) and all(
        want in (None, got) for want, got in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        require(fits, f"shape [{wanted}]", list(tensor.shape), name, _to_shape(tensor.shape, shape))
    kinds = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
    require(tensor.dtype in dtypes, kinds, str(tensor.dtype).removeprefix("torch."), name, "convert it")
    require(tensor.device == device, f"a tensor on {device}", tensor.device, name, "move it there")


def device_of(tensor: Tensor) -> torch.device:
    """Where a tensor lies; the CPU for what is none, which `require_tensor` refuses."""
    return tensor.device if isinstance(tensor, Tensor) else torch.device("cpu")


def require_loss_inputs(logits: Tensor, targets: Tensor, weight: Tensor | None, columns: int | None) -> None:
    """Raise ValueError unless logits [B, columns], targets and weight are valid inputs of the losses."""
    require_tensor(logits, "logits", (None, columns), FLOATS, device_of(logits))
    require(logits.numel() > 0, "at least one row", list(logits.shape), "logits", "skip an empty batch")
    require_tensor(targets, "targets", tuple(logits.shape), (torch.float32,), logits.device)
    if weight is not None:
        require_tensor(weight, "weight", (logits.shape[1],), (torch.float32,), logits.device)
    for name, tensor in (("logits", logits), ("targets", targets), ("weight", weight)):
        if tensor is not None:
            require(tensor.is_contiguous(), "contiguous memory", tensor.stride(), name, "call .contiguous()")
    require_constant(targets, "targets")
    require_constant(weight, "weight")


def require_constant(tensor: Tensor | None, name: str) -> None:
    """Raise ValueError if `tensor` requires a gradient: it would get none."""
    constant = tensor is None or not tensor.requires_grad
    require(constant, "a tensor without gradient", "one that requires it", name, "call .detach()")


def require_float(dtype: torch.dtype) -> None:
    """Raise ValueError unless views can have this dtype."""
    require(dtype in FLOATS, "float32, float16 or bfloat16", dtype, "dtype", "choose one")


def require_within(values: Tensor, low: float, high: float, want: str, name: str, do: str) -> None:
    """Raise ValueError unless all values are within low and high; NaN is not.

    On the CPU alone: looking would make the host wait for another device, and what torch.compile traces has no values.
    """
    if values.device.type == "cpu" and not torch.compiler.is_compiling() and values.numel():
        least, most = values.amin().item(), values.amax().item()
        require(low <= least and most <= high, want, f"{least} to {most}", name, do)


def integers(values: Integers, name: str, shape: tuple[int | None, ...], device: torch.device) -> Tensor:
    """Integers as a contiguous int64 tensor of `shape` on `device`; those of 64 bits without a sign keep their bits.

    A tensor must lie on the device, anything else is copied there.

    Raises:
        ValueError: they are not integers, or of another shape or device.
    """
    tensor = values if isinstance(values, Tensor) else _host_integers(values, name, device)
    require(tensor.dtype != torch.bool, "integers", "a mask", name, "call .nonzero().flatten()")
    require_tensor(tensor, name, shape, INTEGERS, device)
    return tensor.to(torch.int64).contiguous()


def numbers(values: Any, count: int, name: str) -> tuple[float, ...]:
    """`count` finite numbers as floats, from a sequence, an array or a tensor.

    Raises:
        ValueError: they are not numbers, or not as many.
    """
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError, RuntimeError):
        found = ()
    holds = len(found) == count and all(map(math.isfinite, found))
    require(holds, f"{count} finite numbers", repr(values), name, "give as many")
    return found


def number(value: SupportsFloat, low: float, high: float, name: str) -> float:
    """A number within low and high as a float; ValueError for anything else."""
    try:
        found = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, RuntimeError):
        found = math.nan
    require(low <= found <= high, f"{low:g} to {high:g}", repr(value), name, "change it")
    return found


def _host_integers(values: Any, name: str, device: torch.device) -> Tensor:
    try:
        try:
            number = operator.index(values)
        except TypeError:
            tensor = torch.as_tensor(values)
        else:
            # Filled there: a copy from the host would make it wait for the device.
            return torch.full((), _wrap(number), dtype=torch.int64, device=device)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        want = "integers of at most 64 bits"
        raise ValueError(f"Expected {want}, got {values!r} ({name}): convert it") from error
    return (tensor if tensor.numel() else tensor.to(torch.int64)).to(device)


def _wrap(number: int) -> int:
    """The int64 with the bits of a number of 64 bits, signed or not."""
    if not -(2**63) <= number < 2**64:
        raise OverflowError(number)
    return number - 2**64 if number >= 2**63 else number


def _to_shape(got: tuple[int, ...], want: tuple[int | None, ...]) -> str:
    """How to give a tensor the shape wanted: a single sample needs one more dimension, some images another order."""
    single = len(got) + 1 == len(want) and want[0] in (None, 1)
    if single and all(size in (None, there) for size, there in zip(want[1:], got, strict=True)):
        return "call .unsqueeze(0)"
    for order in ((0, 3, 1, 2), (0, 2, 3, 1)) if len(got) == len(want) == 4 else ():
        if all(size in (None, got[axis]) for size, axis in zip(want, order, strict=True)):
            return f"call .permute{order}"
    return "reshape it"
