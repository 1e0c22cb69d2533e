"""Reports without drawn figures: matplotlib takes most of the time of a tiny training."""

import inspect
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from galaxy_triton.evaluate import report
from galaxy_triton.evaluate.figures import Picture

# Names that a stranger can give to galaxies.
HOSTILE = ['"><script>alert(1)</script>', "$\\frac{$", "{{ 7 * 7 }}", "名前", "a\nb\x00", "\udcff", "n" * 300]


@contextmanager
def light_figures() -> Iterator[None]:
    """Every figure of a report is one grey pixel, with the name of its function as its description."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, _ in FIGURES:
            patch.setattr(module, name, lambda *given, name=name: Picture(PIXEL, 1, 1, name))
        yield


@contextmanager
def real_figures() -> Iterator[None]:
    """Inside `light_figures`, the report's own figures again."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, function in FIGURES:
            patch.setattr(module, name, function)
        yield


def _pixel() -> bytes:
    file = io.BytesIO()
    Image.new("L", (1, 1), 128).save(file, "PNG")
    return file.getvalue()


def _figures(modules: list[ModuleType]) -> list[tuple[ModuleType, str, Callable[..., Any]]]:
    """The functions of these modules that return a Picture of data."""
    return [
        (module, name, function)
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__annotations__.get("return") is Picture and Figure not in function.__annotations__.values()
    ]


PIXEL = _pixel()
FIGURES = _figures([each for each in vars(report).values() if inspect.ismodule(each)])
