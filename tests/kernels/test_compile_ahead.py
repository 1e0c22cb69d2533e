"""The kernels compile for every GPU that is supported, inside their registers: no GPU needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# 8 warps at 80 registers or less leave a multiprocessor (65,536 registers) three images at a time, at 128 two programs
# of tree_mse; sigmoid_mse is one program. A batch of three planes needs a few more than a store of packed words.
REGISTERS = {"draw": 72, "params": 72, "batch": 80, "sigmoid_mse": 96, "tree_mse": 128}


def _compile_ahead(table: str, timeout: int) -> list[dict]:
    """In a process of its own, since here the kernels may have been imported for the interpreter."""
    script = Path(__file__).with_name("compile_ahead.py")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "error", str(script), table]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _check(rows: list[dict]) -> None:
    print(*(f"{row['kernel']} sm_{row['sm']}: {row['skipped']}" for row in rows if "skipped" in row), sep="\n")
    compiled = [row for row in rows if "skipped" not in row]
    assert {row["sm"] for row in compiled} >= {75, 80, 86, 89, 90}
    assert [row for row in compiled if row["STACK"] or row["LOCAL"]] == [], "spilled"
    budgets = [REGISTERS["batch" if "pixels" in row else row["kernel"]] for row in compiled]
    over = [row for row, budget in zip(compiled, budgets, strict=True) if row["REG"] > budget]
    assert over == [], "over the budget"


def test_kernels_compile_without_spilling() -> None:
    _check(_compile_ahead("daily", 300))


@pytest.mark.slow  # 576 variants, some ten minutes on two cores
def test_every_variant_compiles_without_spilling() -> None:
    _check(_compile_ahead("full", 3600))
