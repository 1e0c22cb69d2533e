"""Compile the kernels for GPUs that are not here, and report what the assembler made of them.

    python compile_ahead.py daily|full

prints one line of JSON for each variant: its name, registers, stack and local bytes, or why it was skipped. It runs in
a process of its own: a kernel that was imported for the interpreter cannot be compiled.
"""

import functools
import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from galaxy_triton.kernels.augmentation import fused as augmentation
from galaxy_triton.kernels.sigmoid_loss import fused as sigmoid_loss
from galaxy_triton.kernels.tree_loss import fused as tree_loss
from galaxy_triton.questions import PARENTS, SIZES

VERSION = tuple(int(part) for part in triton.__version__.split(".")[:2])
CAPABILITIES = (75, 80, 86, 89, 90, 100)
RANGES = ("rotation", "horizontal", "vertical", "log_zoom", "shift")
JITTER = ("brightness_range", "contrast_range", "saturation_range", "hue_range")

# (kernel, capability, options of the variant)
Variant = tuple[str, int, dict[str, object]]


def daily() -> Iterator[Variant]:
    """Training's kernel on every target; the others at the ends of the range."""
    for capability in CAPABILITIES:
        yield "draw", capability, {"dtype": "fp16" if capability == 75 else "bf16"}
    yield "draw", 90, {"dtype": "bf16", "layout": 4, "reflect": True}
    yield "params", 75, {"dtype": "fp32"}
    yield "params", 90, {"dtype": "fp32", "layout": 4, "jitter": False}
    yield "sigmoid_mse", 75, {"dtype": "fp16", "weighted": True}
    yield "tree_mse", 75, {"dtype": "fp16", "weighted": True}
    yield "tree_mse", 90, {"dtype": "bf16"}


def full() -> Iterator[Variant]:
    """Every variant on every target."""
    for capability, dtype in itertools.product(CAPABILITIES, ("fp32", "fp16", "bf16")):
        for kernel, layout, reflect, jitter in itertools.product(("draw", "params"), (3, 4), (0, 1), (0, 1)):
            yield (
                kernel,
                capability,
                {"dtype": dtype, "layout": layout, "reflect": bool(reflect), "jitter": bool(jitter)},
            )
        for pixels, reflect, jitter in itertools.product(("u8", "fp32", "fp16"), (0, 1), (0, 1)):
            options = {"pixels": pixels, "reflect": bool(reflect), "jitter": bool(jitter)}
            yield "draw", capability, {"dtype": dtype, **options}
        for kernel, weighted in itertools.product(("sigmoid_mse", "tree_mse"), (False, True)):
            yield kernel, capability, {"dtype": dtype, "weighted": weighted}


def source(kernel: str, *, dtype: str, layout=3, reflect=False, jitter=True, pixels="i32", weighted=False) -> tuple:
    """The function, the types of its arguments, its constants and its options."""
    if kernel in LOSSES:
        return LOSSES[kernel](dtype, weighted)
    types = {"pixels_ptr": f"*{pixels}"}
    if pixels == "i32":
        types |= {"index_ptr": "*i64"}
        constants = {"HEIGHT": 160, "WIDTH": 160, "VIEW_HEIGHT": 128, "VIEW_WIDTH": 128}
    else:  # a batch that is not square
        constants = {"index_ptr": None, "HEIGHT": 160, "WIDTH": 213, "VIEW_HEIGHT": 128, "VIEW_WIDTH": 150}
    constants |= {"LAYOUT": layout, "REFLECT": reflect, "OPERATIONS": 15 * jitter}
    constants |= {f"MEAN_{name}": 0.5 for name in ("RED", "GREEN", "BLUE")} | {"BLOCK": augmentation.BLOCK}
    constants |= {f"STD_{name}": 0.25 for name in ("RED", "GREEN", "BLUE")}
    if kernel == "params":
        types |= {"affine_ptr": "*fp32", "jitter_ptr": "*fp32", "order_ptr": "*i32", "out_ptr": f"*{dtype}"}
        return augmentation._params_kernel, types, constants, augmentation.COMPILER_OPTIONS
    types |= {"seed_ptr": "*i64", "epoch_ptr": "*i64", "ids_ptr": "*i64", "out_ptr": f"*{dtype}"}
    types |= dict.fromkeys(RANGES + JITTER, "fp32")
    constants |= {"CORNER_X": 0.0, "CORNER_Y": 0.0, "RANDOM_CROP": True}
    return augmentation._draw_kernel, types, constants, augmentation.COMPILER_OPTIONS


def sigmoid_source(dtype: str, weighted: bool) -> tuple:
    constants = {"COLUMNS": 37, "WEIGHTED": weighted, "BLOCK": sigmoid_loss.BLOCK, "TILE": sigmoid_loss.TILE}
    types = loss_types(dtype) | {"count": "i32", "over_count": "fp32"}
    return sigmoid_loss._sigmoid_mse_kernel, types, constants, sigmoid_loss.COMPILER_OPTIONS


def tree_source(dtype: str, weighted: bool) -> tuple:
    """Of Galaxy Zoo 2's tree."""
    forest = tree_loss._forest(SIZES, tuple(-1 if parent is None else parent for parent in PARENTS))
    constants = {"COLUMNS": 37, "WEIGHTED": weighted, "ROWS": tree_loss.TILE // 8, "FOREST": forest}
    types = loss_types(dtype) | {"rows": "i32", "over_count": "fp32"}
    return tree_loss._tree_mse_kernel, types, constants, tree_loss.COMPILER_OPTIONS


def loss_types(dtype: str) -> dict[str, str]:
    types = {"logits_ptr": f"*{dtype}", "targets_ptr": "*fp32", "weight_ptr": "*fp32", "partial_ptr": "*fp32"}
    return types | {"gradient_ptr": "*fp32"}


LOSSES = {"sigmoid_mse": sigmoid_source, "tree_mse": tree_source}


def compiled(capability: int, kernel: str, options: dict[str, object]) -> bytes:
    """The machine code."""
    function, types, constants, compiler_options = source(kernel, **options)
    if VERSION < (3, 3):
        unit = ASTSource(fn=function, signature=types, constants=constants)
    else:
        unit = ASTSource(fn=function, signature=types | dict.fromkeys(constants, "constexpr"), constexprs=constants)
    result = triton.compile(unit, target=GPUTarget("cuda", capability, 32), options=compiler_options)
    return result.asm["cubin"]


@functools.cache
def cuobjdump() -> str:
    """Triton's own copy."""
    return str(next(Path(triton.__file__).parent.rglob("bin/cuobjdump")))


def resources(cubin: bytes) -> dict[str, int]:
    """{"REG": ..., "STACK": ..., "LOCAL": ..., ...} of the kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [cuobjdump(), "-res-usage", file.name]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    usage = dict(re.findall(r"\b(REG|STACK|LOCAL|SHARED):(\d+)", report))
    return {name: int(value) for name, value in usage.items()}


def skip_reason(capability: int, options: dict[str, object]) -> str | None:
    if capability >= 100 and VERSION < (3, 3):
        return f"Triton {triton.__version__} has no assembler for sm_{capability}"
    if capability < 80 and options["dtype"] == "bf16" and VERSION < (3, 3):
        return f"Triton {triton.__version__} rounds to bf16 with an instruction that sm_{capability} lacks"
    return None


def main(table: str) -> None:
    for kernel, capability, options in {"daily": daily, "full": full}[table]():
        row = {"kernel": kernel, "sm": capability, **options}
        reason = skip_reason(capability, options)
        row |= {"skipped": reason} if reason else resources(compiled(capability, kernel, options))
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
