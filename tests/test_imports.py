"""The arrows between the application's modules, read from their source: every import points down."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import galaxy_triton

FOLDER = Path(galaxy_triton.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py"))
PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

# From the bottom. A module imports from layers before its own only, wherever in its source the import stands.
LAYERS: tuple[set[str], ...] = (
    {"__init__", "errors"},
    {"config", "questions", "files", "ids", "display", "stop", "surroundings", "morphology", "ranks", "breakdown"},
    {
        "arrays",
        "tree",
        "options",
        "endings",
        "lock",
        "settings",
        "images",
        "table",
        "optimise",
        "light",
        "volunteers",
        "ladder",
        "fresh",
        "targets",
        "pillow_resize",
    },
    {"cache", "store", "space", "raw_table", "scores", "calibration"},
    {"rules"},
    {"id_rules"},
    {"check", "spread", "study", "pack", "data", "model", "checkpoint", "render", "seed_pipeline"},
    {"feed", "head", "simulate", "layouts", "passes", "folds"},
    {"baseline", "views", "demo", "ceilings"},
    {"machine", "profiling"},
    {"run_folder", "doctor"},
    {"answer"},
    {"against", "consistency", "predict", "export", "learner", "finetune"},
    {"out_of_fold", "findings", "memory", "steps"},
    {"evaluate", "figures", "rung"},
    {"evaluation_table", "reliability_plot"},
    {"page", "ablation_plot"},
    {"report", "train", "request"},
    {"profiled", "ablation_table", "ground"},
    {"launch", "ablate"},
    {"cross_validation"},
    {"sweep_folder"},
    {"sweep"},
    {"cli_store", "cli_train", "cli_run"},
    {"cli"},
    {"__main__"},
)
USE_KERNELS = {"data", "views", "head", "model", "doctor"}
IMPORT_NAMES = {"pillow": "PIL"}  # where a distribution is imported by another name


def imported(tree: ast.AST, inside_functions: bool = True) -> Iterator[str]:
    """Dotted names of all that is imported; `from a import b` gives "a.b"."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "the application imports by full names"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imported(node, inside_functions)


def source(module: str) -> ast.Module:
    return ast.parse((FOLDER / f"{module}.py").read_text())


def own(names: Iterator[str]) -> set[str]:
    """The modules of the application among dotted names; "kernels" for anything in there."""
    inside = [name.split(".")[1] for name in names if name.startswith("galaxy_triton.")]
    return {name if name in MODULES or name == "kernels" else "__init__" for name in inside}


def layer(module: str) -> int:
    return next(number for number, modules in enumerate(LAYERS) if module in modules)


def test_every_module_has_one_layer() -> None:
    assert sorted(module for modules in LAYERS for module in modules) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    for other in own(imported(source(module))) - {"kernels"}:
        assert layer(other) < layer(module), f"{module} imports {other}"


def test_kernels_are_imported_where_they_may_be() -> None:
    assert {module for module in MODULES if "kernels" in own(imported(source(module)))} == USE_KERNELS


def test_kernels_import_nothing_of_the_application() -> None:
    for path in (FOLDER / "kernels").rglob("*.py"):
        assert "galaxy_triton" not in {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
            for name in [getattr(node, "module", None) or node.names[0].name]
        }, path


def test_cli_starts_with_click_alone() -> None:
    """What the command line imports before a command runs, through all its modules: no torch, no NumPy."""
    seen, waiting, outside = set(), {"__main__", "__init__"}, set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        names = list(imported(source(module), inside_functions=False))
        waiting |= own(iter(names)) - seen - {"kernels"}
        outside |= {name.split(".")[0] for name in names} - {"galaxy_triton"} | own(iter(names)) & {"kernels"}
    assert {"cli", "config", "errors"} <= seen
    assert outside - sys.stdlib_module_names == {"click"}


def test_torchvision_is_imported_when_asked_for_alone() -> None:
    users = {module for module in MODULES if any(name.startswith("torchvision") for name in imported(source(module)))}
    assert users == {"model", "seed_pipeline"}
    for user in users:
        assert not any(name.startswith("torchvision") for name in imported(source(user), inside_functions=False))


def test_imports_are_declared() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    names = {entry.split(">")[0] for entry in project["dependencies"] + extras["models"] + extras["sweep"]}
    known = sys.stdlib_module_names | {"galaxy_triton"} | {IMPORT_NAMES.get(name, name) for name in names}
    for module in MODULES:
        assert {name.split(".")[0] for name in imported(source(module))} <= known, module


def test_imported_sees_every_form() -> None:
    """The reader of imports is code too."""
    text = "import a.b\nif x:\n    from galaxy_triton import store as s, __version__\n"
    text += "def f():\n    class C:\n        from galaxy_triton.kernels.philox import draw\n"
    tree = ast.parse(text)
    outer = ["a.b", "galaxy_triton.store", "galaxy_triton.__version__"]
    assert list(imported(tree)) == [*outer, "galaxy_triton.kernels.philox.draw"]
    assert list(imported(tree, inside_functions=False)) == outer
    assert own(imported(tree)) == {"store", "__init__", "kernels"}
