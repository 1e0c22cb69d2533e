"""kernels stands alone: it needs no Triton to be imported, and knows nothing of the application."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import galaxy_triton.kernels

KERNELS = Path(galaxy_triton.kernels.__file__).parent
MODULES = sorted(KERNELS.rglob("*.py"))
WITHOUT_TRITON = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "triton":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import torch
from galaxy_triton.kernels import AugmentParams, augment, norm_relu_pool, sigmoid_mse

def views(impl):
    pixels, index = torch.zeros(2, 8, 8, 4, dtype=torch.uint8), torch.arange(2)
    return augment(pixels, index, AugmentParams(torch.zeros(2, 2, 3)), size=6, impl=impl)

def loss(impl):
    return sigmoid_mse(torch.zeros(2, 3), torch.zeros(2, 3), impl=impl)

def block(impl):
    return norm_relu_pool(torch.zeros(2, 3, 4, 4), *(torch.zeros(3) for _ in range(4)), impl=impl)

for function in (views, loss, block):
    function("torch")
    try:
        function("triton")
    except ImportError as error:
        assert "triton" in str(error), error
    else:
        raise SystemExit(f"{function.__name__} ran without Triton")
"""


@pytest.mark.process
def test_kernels_work_without_triton(tmp_path: Path) -> None:
    """In a process of its own, away from the clone; only `impl="triton"` asks for it."""
    command = [sys.executable, "-c", WITHOUT_TRITON]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(KERNELS).as_posix())
def test_kernels_import_only_themselves(path: Path) -> None:
    depth = len(path.relative_to(KERNELS).parts)
    others = sys.stdlib_module_names | {"torch", "triton"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= others
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level <= depth, f"{node.module} lies outside the package"
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] in others


def test_triton_is_imported_only_where_asked_for() -> None:
    """Elsewhere than in a `fused` and its parts, an import of Triton must lie inside a function."""
    for path in MODULES:
        if not path.name.startswith("fused"):
            tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not [node for node in tops if "triton" in ast.unparse(node)], path
