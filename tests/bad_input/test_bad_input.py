"""Every case of the table of bad input ends with its code and message, no traceback, and all files as they were."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from tests.bad_input.table import CASES, run_case, said
from tests.bad_input.world import Case, World, make_world

world = pytest.fixture(make_world)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(
    case: Case, world: World, call: Callable[..., Result], record_property: Callable[[str, object], None]
) -> None:
    if case.without_gpu and torch.cuda.is_available():
        pytest.skip("there is a CUDA GPU")
    result, before, after = run_case(case, world, call)
    text = said(result)
    for name, value in (("case", case.name), ("code", result.exit_code), ("said", plain(text, world))):
        record_property(name, value)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert (result.exit_code, "Traceback" in text) == (case.code, False), text
    assert case.said in text
    assert {path: after.get(path) for path in before} == before
    new = {Path(path).relative_to(world.new).parts[0] for path in after.keys() - before.keys()}
    assert new <= set(case.leaves)
    assert not [path for path in after if path.endswith(".partial") and path not in before]


def plain(text: str, world: World) -> str:
    """What was said of the fault, or of a success all, without the folders of this machine."""
    text = text[max(text.find("Error: "), 0) :]
    for folder in (world.new, world.run.parent, world.images.parent):
        text = text.replace(f"{folder}/", "").replace(str(folder), ".")
    return text
