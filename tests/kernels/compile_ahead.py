"""Compile the kernels for GPUs that are not here, and tabulate what the assembler made of them.

    python -m tests.kernels.compile_ahead daily|full [--out FILE]

prints a row for each variant, or writes them to a file, whole or not at all. Two at a time, in processes of their own:
a kernel that was imported for the interpreter cannot be compiled.
"""

import argparse
import csv
import functools
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from galaxy_triton.galaxyzoo.questions import PARENTS, SIZES
from galaxy_triton.kernels.augmentation import fused as augmentation
from galaxy_triton.kernels.launch_settings import Settings
from galaxy_triton.kernels.norm_pool import fused as norm_pool
from galaxy_triton.kernels.sigmoid_loss import fused as sigmoid_loss
from galaxy_triton.kernels.tree_loss import fused as tree_loss
from galaxy_triton.system.whole_files import whole_file
from tests.kernels.machine_code import instructions
from tests.kernels.variants import COMPILED_ONLY, GATE, OPTIONS, Variant, daily, full

VERSION = tuple(int(part) for part in triton.__version__.split(".")[:2])
# registers: of a thread. scalars: of a wave, AMD's. shared: bytes of a program. spilled: bytes of a thread.
MADE = ("registers", "scalars", "shared", "spilled", "instructions", "skipped")
COLUMNS = ("triton", *OPTIONS, *MADE)
WORKERS = 2

RANGES = ("rotation", "horizontal", "vertical", "log_zoom", "shift")
JITTER = ("brightness_range", "contrast_range", "saturation_range", "hue_range")


class Source(NamedTuple):
    """A kernel, the types of its arguments, its constants, and how many warps run it."""

    function: Any
    types: dict[str, str]
    constants: dict[str, object]
    options: dict[str, object]


def main() -> None:
    """The script."""
    options = _options()
    variants, row = TABLES[options.table]
    write(COLUMNS, list(_rows(list(variants()), row)), options.out)


def write(columns: tuple[str, ...], rows: list[dict[str, str]], out: Path | None) -> None:
    """Print a table, or write it to a file, whole or not at all."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    if out is None:
        print(text.getvalue(), end="")
        return
    with whole_file(out, replace=True) as file:
        file.write_text(text.getvalue())


@contextmanager
def own_cache() -> Iterator[Path]:
    """Yield an empty folder, where Triton keeps what it makes meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        yield Path(folder)


def compiled(source: Source, target: str) -> Any:
    """Triton's CompiledKernel."""
    return triton.compile(_unit(source), target=gpu(target), options=source.options)


def gpu(target: str) -> GPUTarget:
    """Triton's name for a target."""
    return GPUTarget("cuda", int(target.removeprefix("sm_")), 32) if target in GATE else GPUTarget("hip", target, 64)


def disassembly(cubin: bytes, *flags: str) -> str:
    """Machine code for NVIDIA's GPUs as text, by Triton's own cuobjdump."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [_cuobjdump(), *flags, file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES, help="some variants, or all")
    parser.add_argument("--out", type=Path, help="a CSV file")
    return parser.parse_args()


def _rows(variants: list[Variant], row_of: Callable[[Variant], dict[str, str]]) -> Iterator[dict[str, str]]:
    pool = ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"))
    try:
        for number, row in enumerate(pool.map(row_of, variants), 1):
            print(f"\r{number} of {len(variants)}", end="", file=sys.stderr, flush=True)
            yield row
    finally:
        # Else Ctrl-C, or a variant that fails, waits for all that are left.
        pool.shutdown(cancel_futures=True)
        print(file=sys.stderr)


def _row(variant: Variant) -> dict[str, str]:
    row = {"triton": triton.__version__, **variant.cells}
    reason = _reason_to_skip(variant)
    if reason:
        return row | {"skipped": reason}
    kernel = compiled(SOURCES[variant.kernel](variant), variant.target)
    made = MEASURES[gpu(variant.target).backend](kernel)
    return row | {name: str(value) for name, value in made.items()}


def _row_apart(variant: Variant) -> dict[str, str]:
    # All variants would leave a gigabyte in the user's cache.
    with own_cache():
        return _row(variant)


TABLES = {"daily": (daily, _row), "full": (full, _row_apart)}


def _reason_to_skip(variant: Variant) -> str | None:
    if VERSION >= (3, 3):
        return None
    if variant.target == "sm_100":
        return f"Triton {triton.__version__} has no assembler for sm_100"
    if variant.target == "sm_75" and variant.dtype == "bf16":
        return f"Triton {triton.__version__} rounds to bf16 with an instruction that sm_75 lacks"
    if variant.target in COMPILED_ONLY:
        return f"Triton {triton.__version__} has no linker for AMD's GPUs"
    return None


def _unit(source: Source) -> ASTSource:
    """With the pointers aligned, as torch's memory is: a launch compiles for that."""
    names = source.function.arg_names
    pointers = [names.index(name) for name, kind in source.types.items() if kind.startswith("*")]
    if VERSION < (3, 3):
        from triton.backends.compiler import AttrsDescriptor

        hints = AttrsDescriptor.from_hints(dict.fromkeys(pointers, 16))
        types = {name: source.types[name] for name in names if name in source.types}
        return ASTSource(fn=source.function, signature=types, constants=source.constants, attrs=hints)
    types = {name: source.types.get(name, "constexpr") for name in names}
    hints = {(place,): [["tt.divisibility", 16]] for place in pointers}
    return ASTSource(fn=source.function, signature=types, constexprs=source.constants, attrs=hints)


def _of_nvidia(kernel: Any) -> dict[str, int]:
    report = disassembly(kernel.asm["cubin"], "-res-usage", "-sass")
    usage = {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", report)}
    return {
        "registers": usage["REG"],
        "shared": kernel.metadata.shared,
        "spilled": usage["STACK"] + usage["LOCAL"],
        "instructions": len(instructions(report)),
    }


def _of_amd(kernel: Any) -> dict[str, int]:
    code = kernel.asm["amdgcn"]
    usage = {name: int(value) for name, value in re.findall(r"^ +\.(\w+): +(\d+)$", code, re.MULTILINE)}
    return {
        "registers": usage["vgpr_count"],
        "scalars": usage["sgpr_count"],
        "shared": kernel.metadata.shared,
        # Some may be spilled to other registers, outside the memory of a thread.
        "spilled": usage["private_segment_fixed_size"] + 4 * (usage["vgpr_spill_count"] + usage["sgpr_spill_count"]),
        "instructions": len(re.findall(r"^\t[a-z]", code, re.MULTILINE)),
    }


MEASURES: dict[str, Callable[[Any], dict[str, int]]] = {"cuda": _of_nvidia, "hip": _of_amd}


@functools.cache
def _cuobjdump() -> str:
    return str(next(Path(triton.__file__).parent.rglob("bin/cuobjdump")))


def _view_source(variant: Variant) -> Source:
    launch = Settings().augment
    types = {"pixels_ptr": "*i32", "index_ptr": "*i64"}
    constants = {"HEIGHT": 160, "WIDTH": 160, "VIEW_HEIGHT": 128, "VIEW_WIDTH": 128}
    if variant.pixels != "words":  # a batch that is not square
        types = {"pixels_ptr": f"*{variant.pixels}"}
        constants = {"index_ptr": None, "HEIGHT": 160, "WIDTH": 213, "VIEW_HEIGHT": 128, "VIEW_WIDTH": 150}
    types |= {"out_ptr": f"*{variant.dtype}"} | PARAMETERS[variant.kernel]
    constants |= {f"MEAN_{name}": 0.5 for name in ("RED", "GREEN", "BLUE")}
    constants |= {f"STD_{name}": 0.25 for name in ("RED", "GREEN", "BLUE")}
    constants |= {"LAYOUT": variant.layout, "REFLECT": variant.border == "reflect", "OPERATIONS": 15 * variant.jitter}
    constants |= {"TILE": launch.tile, "PROGRAMS": variant.programs} | CORNERS[variant.kernel]
    return Source(FUNCTIONS[variant.kernel], types, constants, launch.compiler_options)


FUNCTIONS = {"draw": augmentation._draw_kernel, "params": augmentation._params_kernel}
PARAMETERS = {
    "draw": dict.fromkeys(("seed_ptr", "epoch_ptr", "ids_ptr"), "*i64") | dict.fromkeys(RANGES + JITTER, "fp32"),
    "params": {"affine_ptr": "*fp32", "jitter_ptr": "*fp32", "order_ptr": "*i32"},
}
CORNERS = {"draw": {"CORNER_X": 0.0, "CORNER_Y": 0.0, "RANDOM_CROP": True}, "params": {}}


def _sigmoid_source(variant: Variant) -> Source:
    launch = Settings().sigmoid
    block = launch.alone if variant.programs == 1 else launch.tile
    constants = {"COLUMNS": 37, "WEIGHTED": variant.weighted, "BLOCK": block, "TILE": launch.tile}
    types = _loss_types(variant) | {"count": "i32", "over_count": "fp32"}
    return Source(sigmoid_loss._sigmoid_mse_kernel, types, constants, launch.compiler_options)


def _tree_source(variant: Variant) -> Source:
    """Of Galaxy Zoo 2's tree."""
    launch = Settings().tree
    forest = tree_loss._forest(SIZES, tuple(-1 if parent is None else parent for parent in PARENTS))
    rows = launch.tile // triton.next_power_of_2(max(SIZES))
    constants = {"COLUMNS": 37, "WEIGHTED": variant.weighted, "ROWS": rows, "FOREST": forest}
    types = _loss_types(variant) | {"rows": "i32", "over_count": "fp32"}
    return Source(tree_loss._tree_mse_kernel, types, constants, launch.compiler_options)


def _loss_types(variant: Variant) -> dict[str, str]:
    pointers = ("targets_ptr", "weight_ptr", "partial_ptr", "gradient_ptr")
    return {"logits_ptr": f"*{variant.dtype}"} | dict.fromkeys(pointers, "*fp32")


def _norm_pool_source(variant: Variant) -> Source:
    """Of images with odd sides, and of more channels than a program takes."""
    launch, function = Settings().norm_pool, NORM_POOL[variant.kernel]
    of_images = dict.fromkeys(("x_ptr", "extremum_ptr", "y_ptr", "upstream_ptr", "gradient_ptr"), f"*{variant.dtype}")
    types = of_images | {"place_ptr": "*u8", "over_count": "fp32", "eps": "fp32"}
    types |= dict.fromkeys(("windows", "outputs", "parts"), "i32")
    constants = {"HEIGHT": 33, "WIDTH": 33, "CHANNELS": 96, "PARTS": norm_pool.MAX_PARTS, "STEPS": 16}
    columns = norm_pool.GATHERED if "PARTS" in function.arg_names else norm_pool.WIDEST
    constants |= {"ROWS": launch.tile // columns, "COLUMNS": columns}
    names = [name for name in function.arg_names if name not in constants]
    taken = {name: value for name, value in constants.items() if name in function.arg_names}
    return Source(function, {name: types.get(name, "*fp32") for name in names}, taken, launch.compiler_options)


NORM_POOL = {
    "norm_pool_extrema": norm_pool._extrema_kernel,
    "norm_pool_moments": norm_pool._moments_kernel,
    "norm_pool_activate": norm_pool._activate_kernel,
    "norm_pool_sums": norm_pool._sums_kernel,
    "norm_pool_totals": norm_pool._totals_kernel,
    "norm_pool_gradient": norm_pool._gradient_kernel,
}


SOURCES: dict[str, Callable[[Variant], Source]] = {
    "draw": _view_source,
    "params": _view_source,
    "sigmoid_mse": _sigmoid_source,
    "tree_mse": _tree_source,
    **dict.fromkeys(NORM_POOL, _norm_pool_source),
}


if __name__ == "__main__":
    main()
