"""The variants of the kernels that are compiled ahead of time, for GPUs that need not be here."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

GATE = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100")
COMPILED_ONLY = ("gfx942",)  # AMD's MI300: nobody has run them there
DTYPES = ("fp32", "fp16", "bf16")
BORDERS = ("zeros", "reflect")
NORM_POOL = ("extrema", "activate", "sums", "gradient")
SEVERAL = 8  # programs: any power of two is one more shift


@dataclass(frozen=True)
class Variant:
    """A kernel for a target; an option that the kernel does not have is None.

    kernel: "draw" or "params", the augmentation that draws its parameters or is given them, a loss's name, or one of
    norm_relu_pool's. dtype: of the views, the logits or x. pixels: "words" of a store, or the type of a batch's planes.
    layout: channels of a view. jitter: all four colour operations, or none. programs: that share an image or a batch.
    """

    kernel: str
    target: str
    dtype: str
    pixels: str | None = None
    layout: int | None = None
    border: str | None = None
    jitter: bool | None = None
    programs: int | None = None
    weighted: bool | None = None

    @property
    def cells(self) -> dict[str, str]:
        """As it stands in a table."""
        return {name: "" if value is None else str(value) for name, value in asdict(self).items()}


OPTIONS = tuple(field.name for field in fields(Variant))


def daily() -> Iterator[Variant]:
    """Training's kernel on every target; the others on the oldest or the newest that is common."""
    for target in (*GATE, *COMPILED_ONLY):
        yield _view(target, "fp16" if target == "sm_75" else "bf16")
    yield _view("sm_90", "bf16", layout=4, border="reflect", programs=SEVERAL)
    yield _view("sm_75", "fp32", kernel="params", layout=4, jitter=False)
    yield Variant("sigmoid_mse", "sm_75", "fp16", programs=1, weighted=True)
    yield Variant("tree_mse", "sm_75", "fp16", weighted=True)
    yield Variant("tree_mse", "sm_90", "bf16", weighted=False)
    yield Variant("norm_pool_extrema", "sm_75", "fp16")
    yield Variant("norm_pool_gradient", "sm_90", "bf16")


def full() -> Iterator[Variant]:
    """Every variant on every target."""
    for target, dtype in itertools.product((*GATE, *COMPILED_ONLY), DTYPES):
        yield from _views(target, dtype)
        yield from _losses(target, dtype)
        yield from _norm_pool(target, dtype)


def _views(target: str, dtype: str) -> Iterator[Variant]:
    for kernel, layout, border, jitter in itertools.product(("draw", "params"), (3, 4), BORDERS, (False, True)):
        yield _view(target, dtype, kernel=kernel, layout=layout, border=border, jitter=jitter)
    for pixels, border, jitter in itertools.product(("u8", "fp32", "fp16"), BORDERS, (False, True)):
        yield _view(target, dtype, pixels=pixels, border=border, jitter=jitter)
    for layout, border in itertools.product((3, 4), BORDERS):
        yield _view(target, dtype, layout=layout, border=border, programs=SEVERAL)


def _losses(target: str, dtype: str) -> Iterator[Variant]:
    for weighted in (False, True):
        yield Variant("tree_mse", target, dtype, weighted=weighted)
        for programs in (1, SEVERAL):
            yield Variant("sigmoid_mse", target, dtype, programs=programs, weighted=weighted)


def _norm_pool(target: str, dtype: str) -> Iterator[Variant]:
    for kernel in NORM_POOL:
        yield Variant(f"norm_pool_{kernel}", target, dtype)
    if dtype == "fp32":  # what they put together is fp32 whatever x is
        yield Variant("norm_pool_moments", target, dtype)
        yield Variant("norm_pool_totals", target, dtype)


def _view(
    target: str,
    dtype: str,
    *,
    kernel: str = "draw",
    pixels: str = "words",
    layout: int = 3,
    border: str = "zeros",
    jitter: bool = True,
    programs: int = 1,
) -> Variant:
    return Variant(kernel, target, dtype, pixels, layout, border, jitter, programs)
