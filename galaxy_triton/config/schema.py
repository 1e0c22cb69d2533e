"""The configuration of a run as frozen dataclasses, and the choices that options offer.

Each field states its meaning, unit and range once, in `option`: construction checks them and `--help` prints them.
"""

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from galaxy_triton.system.errors import UsageFault, expected

MODELS = ("galaxy-vgg", "vgg11", "vgg16", "resnet50")
HEADS = ("sigmoid", "tree")
IMPLEMENTATIONS = ("auto", "torch", "compile", "triton")
BODIES = ("auto", "eager", "compile", "graph", "autotune")
DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "fp32", "fp16", "bf16")
CROPS = ("random", "centre")
BORDERS = ("zeros", "reflect")
RESIDENCES = ("auto", "gpu", "host")
TABLES = ("auto", "labels", "predictions", "submission", "conditional")
LAYOUTS = ("kaggle", "conditional", "wide")
NORMS = ("auto", "layers", "torch", "compile", "triton")
# Limits far above any use: larger values overflow in torch, and a file from a stranger may hold anything.
MAX_WIDTH = 65_536
MAX_SIDE = 4096
MAX_COUNT = 1_000_000
MAX_SEED = 2**63 - 1

Value = TypeVar("Value")


@dataclass(frozen=True)
class Option:
    """The meaning of a field, with its unit, and the values it takes.

    low, high: inclusive bounds. above, below: exclusive ones. None: no bound. A tuple's entries have these bounds.
    """

    text: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """The values in words, e.g. "from 0 to below 1"; empty where every value of the type is allowed."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        least = f"above {self.above}" if self.low is None else f"at least {self.low}"
        if self.below is None and self.high is None:
            return "" if self.low is self.above is None else least
        most = f"below {self.below}" if self.high is None else f"{self.high}"
        return f"from {self.low} to {most}"

    def allows(self, value: Any) -> bool:
        """Whether a value of the field's type lies in the range; NaN lies in none."""
        if isinstance(value, tuple):
            return len(value) > 0 and all(map(self.allows, value))
        return (
            (not self.choices or value in self.choices)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def option(default: Value, text: str, **values: Any) -> Value:
    """A dataclass field with a default and an `Option`: its description, and its values as keywords of that class."""
    made: Value = field(default=default, metadata={"option": Option(text, **values)})
    return made


def require(holds: bool, name: str, want: str, got: object) -> None:
    """Raise UsageFault for the configuration's field `name` unless `holds`."""
    if not holds:
        raise UsageFault(expected(f"{name} {want}", got, "the option or field of that name", "change it"))


def require_choice(name: str, got: str, choices: tuple[str, ...]) -> None:
    """Raise UsageFault unless `got` is one of the choices."""
    require(got in choices, name, "one of " + ", ".join(choices), repr(got))


@dataclass(frozen=True)
class Section:
    """A group of fields, each of which must lie in its range.

    Raises:
        UsageFault: a value outside its field's range.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            limits, value = each.metadata["option"], getattr(self, each.name)
            got = repr(value) if limits.choices else value
            require(limits.allows(value), f"{type(self).__name__.lower()}.{each.name}", limits.range, got)


@dataclass(frozen=True)
class Preprocess(Section):
    """How an image file becomes the pixels of a store: centre crop, then Pillow's antialiased BILINEAR, no draft."""

    frame: int = option(424, "side of the square source image, pixels", low=1)
    crop: int = option(424, "side of the centre crop taken from the source image, pixels", low=1)
    size: int = option(160, "side of the stored image, pixels", low=1, high=MAX_SIDE)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.crop <= self.frame, "preprocess.crop", f"from 1 to frame = {self.frame}", self.crop)


@dataclass(frozen=True)
class Augmentation(Section):
    """The ranges from which training views are drawn, each uniformly unless stated otherwise."""

    size: int = option(128, "side of a view, pixels of the store", low=1)
    rotation: float = option(180.0, "largest rotation either way, degrees", low=0, high=180)
    horizontal_flip: float = option(0.5, "probability of a horizontal flip", low=0, high=1)
    vertical_flip: float = option(0.5, "probability of a vertical flip", low=0, high=1)
    zoom: float = option(1.0, "zoom from 1/zoom to zoom, log-uniform, without antialiasing", low=1, high=1.5)
    shift: float = option(0.0, "largest shift either way, fraction of the stored side", low=0, high=0.5)
    crop: str = option("random", "place of the view in the stored image", choices=CROPS)
    border: str = option("zeros", "pixels outside the stored image: black, or mirrored", choices=BORDERS)
    brightness: float = option(0.0, "largest change of the brightness factor from 1", low=0, high=1)
    contrast: float = option(0.0, "largest change of the contrast factor from 1", low=0, high=1)
    saturation: float = option(0.0, "largest change of the saturation factor from 1", low=0, high=1)
    hue: float = option(0.0, "largest change of hue either way, turns", low=0, high=0.5)


@dataclass(frozen=True)
class Labels(Section):
    """The labels as they are learned."""

    stretch: float = option(
        1.0, "factor by which labels shared by many galaxies (class means) move from the mean label", low=1, high=2
    )


@dataclass(frozen=True)
class Network(Section):
    """The network; widths, convs and hidden apply to galaxy-vgg only."""

    name: str = option("galaxy-vgg", "network; vgg11 and vgg16 with batch norm", choices=MODELS)
    widths: tuple[int, ...] = option((64, 128, 256, 512, 512), "channels of galaxy-vgg's blocks", low=1, high=MAX_WIDTH)
    convs: int = option(2, "3x3 convolutions in each of galaxy-vgg's blocks", low=1, high=2)
    hidden: int = option(
        512, "units of galaxy-vgg's fully connected layer before the last; 0: no such layer", low=0, high=MAX_WIDTH
    )
    dropout: float = option(0.5, "dropout before each fully connected layer", low=0, below=1)
    head: str = option("sigmoid", "each answer by itself, or the answers as probabilities in the tree", choices=HEADS)


@dataclass(frozen=True)
class Optimiser(Section):
    """AdamW under a one-cycle schedule: linear warm-up, then a cosine to zero; averaged weights."""

    lr: float = option(1e-3, "peak learning rate", above=0)
    weight_decay: float = option(0.02, "weight decay of matrices and kernels; biases and norms have none", low=0)
    warmup: float = option(0.1, "warm-up, fraction of all steps", low=0, below=1)
    clip: float = option(0.0, "largest norm of the gradient; 0: no clipping", low=0)
    average: float = option(
        0.0, "decay of the weights' moving average, at most n / (9 + n) after n steps; 0: no average", low=0, below=1
    )


@dataclass(frozen=True)
class Run(Section):
    """How long a run is, and where and how it computes."""

    epochs: int = option(30, "epochs", low=1, high=MAX_COUNT)
    batch_size: int = option(128, "galaxies in a step, over all processes", low=1, high=MAX_COUNT)
    seed: int = option(1, "seed of every random draw", low=0, high=MAX_SEED)
    validation: float = option(0.1, "fraction of the galaxies to validate on", low=0, below=1)
    views: int = option(1, "fixed views averaged in the validation after an epoch", low=1, high=MAX_COUNT)
    accumulate: int = option(
        1, "parts into which a process cuts its batch; their gradients are added", low=1, high=MAX_COUNT
    )
    device: str = option("auto", "device", choices=DEVICES)
    precision: str = option("auto", "precision of the network's arithmetic", choices=PRECISIONS)
    augment: str = option("auto", "implementation of the augmentation", choices=IMPLEMENTATIONS)
    loss: str = option("auto", "implementation of the head's loss", choices=IMPLEMENTATIONS)
    body: str = option("auto", "how the network's body runs: as written, compiled, in CUDA graphs", choices=BODIES)
    norm: str = option(
        "auto", "end of galaxy-vgg's blocks: torch's layers, or an implementation of norm_relu_pool", choices=NORMS
    )
    resident: str = option("auto", "where pixels lie: GPU memory, or host memory, copied ahead", choices=RESIDENCES)
    sync_norm: bool = option(False, "batch norm over the batch of all processes; CUDA only")
    deterministic: bool = option(False, "the same bits every time, more slowly")


@dataclass(frozen=True)
class Config:
    """The whole configuration of a run, as config.toml holds it.

    Raises:
        UsageFault: views larger than the stored images, or too small for the network.
    """

    recipe: str = "seed"
    preprocess: Preprocess = field(default_factory=Preprocess)
    augmentation: Augmentation = field(default_factory=Augmentation)
    labels: Labels = field(default_factory=Labels)
    network: Network = field(default_factory=Network)
    optimiser: Optimiser = field(default_factory=Optimiser)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        side, size = self.augmentation.size, self.preprocess.size
        require(side <= size, "augmentation.size", f"at most preprocess.size = {size}", side)
        least = smallest_view(self.network)
        require(side >= least, "augmentation.size", f"at least {least} for this {self.network.name}", side)


SECTIONS: dict[str, type[Section]] = {
    kind.__name__.lower(): kind for kind in (Preprocess, Augmentation, Labels, Network, Optimiser, Run)
}
# By dotted name ("optimiser.lr"): what each field means, and its type.
OPTIONS: dict[str, Option] = {
    f"{name}.{each.name}": each.metadata["option"] for name, kind in SECTIONS.items() for each in fields(kind)
}
TYPES: dict[str, Any] = {f"{name}.{each.name}": each.type for name, kind in SECTIONS.items() for each in fields(kind)}


def smallest_view(network: Network) -> int:
    """Side of the smallest view that the network can be trained on, pixels."""
    # Halvings must leave a pixel; resnet50's must leave two, for the batch norm of a batch of one.
    return {"vgg11": 32, "vgg16": 32, "resnet50": 33}.get(network.name, 1 << len(network.widths))
