"""The arrows between the application's rooms, read from their source: a room imports only rooms above it."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import galaxy_triton

FOLDER = Path(galaxy_triton.__file__).parent
PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

# From the top of the house down.
ROOMS = (
    "system",
    "config",
    "galaxyzoo",
    "data",
    "simulation",
    "model",
    "runs",
    "predict",
    "evaluate",
    "train",
    "experiments",
    "cli",
)
FILES = sorted(path for room in ROOMS for path in (FOLDER / room).rglob("*.py"))
USE_KERNELS = {"data", "model"}
WITHOUT_TORCH = ("config", "galaxyzoo")
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


def names_in(path: Path, inside_functions: bool = True) -> list[str]:
    return list(imported(ast.parse(path.read_text()), inside_functions))


def room_of(path: Path) -> str:
    return path.relative_to(FOLDER).parts[0]


def rooms_in(names: list[str]) -> set[str]:
    """The rooms among dotted names; "kernels" for anything in there."""
    inside = {name.split(".")[1] for name in names if name.startswith("galaxy_triton.")}
    return inside & {*ROOMS, "kernels"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts)


def test_every_module_is_in_a_room() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {"__init__", "__main__"}
    assert {path.parent.name for path in FOLDER.glob("*/__init__.py")} == {*ROOMS, "kernels"}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_rooms_import_rooms_above_them(path: Path) -> None:
    above = ROOMS[: ROOMS.index(room_of(path)) + 1]
    assert rooms_in(names_in(path)) - {"kernels"} <= set(above)


@pytest.mark.parametrize("room", ROOMS)
def test_no_circle_inside_a_room(room: str) -> None:
    modules = {module_of(path): path for path in FILES if room_of(path) == room}
    waiting = {
        name: {other for other in modules if any(f"{got}.".startswith(f"{other}.") for got in names_in(path))} - {name}
        for name, path in modules.items()
    }
    while free := {name for name, others in waiting.items() if not others}:
        waiting = {name: others - free for name, others in waiting.items() if name not in free}
    assert not waiting, f"a circle among {sorted(waiting)}"


def test_kernels_are_imported_where_they_may_be() -> None:
    assert {room_of(path) for path in FILES if "kernels" in rooms_in(names_in(path))} == USE_KERNELS


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in WITHOUT_TORCH], ids=module_of)
def test_config_and_galaxyzoo_need_no_torch(path: Path) -> None:
    assert not any(name.split(".")[0] == "torch" for name in names_in(path, inside_functions=False))


def test_cli_starts_with_click_alone() -> None:
    """What the command line imports before a command runs, through all its modules: no torch, no NumPy."""
    modules = {module_of(path): path for path in [*FILES, FOLDER / "__init__.py", FOLDER / "__main__.py"]}
    seen, waiting, outside = set(), {"galaxy_triton.__main__"}, set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        for name in names_in(modules[module], inside_functions=False):
            own = [other for other in (name, name.rpartition(".")[0]) if other in modules]
            waiting |= set(own[:1]) - seen
            outside |= {name.split(".")[0]} - {"galaxy_triton"}
    assert {"galaxy_triton.cli.main", "galaxy_triton.config.schema"} <= seen
    assert outside - sys.stdlib_module_names == {"click"}


def test_torchvision_is_imported_when_asked_for_alone() -> None:
    users = [path for path in FILES if any(name.startswith("torchvision") for name in names_in(path))]
    assert users
    for user in users:
        assert not any(name.startswith("torchvision") for name in names_in(user, inside_functions=False))


def test_imports_are_declared() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    names = {entry.split(">")[0] for entry in project["dependencies"] + extras["models"] + extras["sweep"]}
    known = sys.stdlib_module_names | {"galaxy_triton"} | {IMPORT_NAMES.get(name, name) for name in names}
    for path in FILES:
        assert {name.split(".")[0] for name in names_in(path)} <= known, path


def test_imported_sees_every_form() -> None:
    """The reader of imports is code too."""
    text = "import a.b\nif x:\n    from galaxy_triton.data import store as s, __version__\n"
    text += "def f():\n    class C:\n        from galaxy_triton.kernels.philox import draw\n"
    tree = ast.parse(text)
    outer = ["a.b", "galaxy_triton.data.store", "galaxy_triton.data.__version__"]
    assert list(imported(tree)) == [*outer, "galaxy_triton.kernels.philox.draw"]
    assert list(imported(tree, inside_functions=False)) == outer
    assert rooms_in(list(imported(tree))) == {"data", "kernels"}
