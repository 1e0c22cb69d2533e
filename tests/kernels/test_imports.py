"""kernels stands alone: it imports nothing of the application, and Triton only where it is asked for."""

import ast
import sys
from pathlib import Path

import pytest

import galaxy_triton.kernels

KERNELS = Path(galaxy_triton.kernels.__file__).parent
MODULES = sorted(KERNELS.rglob("*.py"))


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
