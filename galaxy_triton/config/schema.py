"""Every option of a run, as frozen dataclasses; the named recipes; the names that options offer.

The classes check themselves, so an impossible configuration cannot be built. Nothing here imports torch.
"""

from dataclasses import dataclass, field

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
TABLES = ("auto", "labels", "predictions", "submission")
LAYOUTS = ("kaggle", "conditional", "wide")
NORMS = ("auto", "layers", "torch", "compile", "triton")
# Far above any use: what is larger overflows in torch, and a file from a stranger may say anything.
MAX_WIDTH = 65_536
MAX_SIDE = 4096
MAX_COUNT = 1_000_000


def require(holds: bool, name: str, want: str, got: object) -> None:
    if not holds:
        raise UsageFault(expected(f"{name} {want}", got, "the configuration", "change that field"))


def require_choice(name: str, got: str, choices: tuple[str, ...]) -> None:
    require(got in choices, name, "one of " + ", ".join(choices), repr(got))


@dataclass(frozen=True)
class Preprocess:
    """How an image file becomes the pixels of a store: centre crop, then Pillow's antialiased BILINEAR, no draft."""

    frame: int = 424  # side of the square source image, pixels
    crop: int = 424  # side of the centre crop taken from it, pixels
    size: int = 160  # side of the stored image, pixels

    def __post_init__(self) -> None:
        require(1 <= self.crop <= self.frame, "preprocess.crop", f"from 1 to frame = {self.frame}", self.crop)
        require(1 <= self.size <= MAX_SIDE, "preprocess.size", f"from 1 to {MAX_SIDE}", self.size)


@dataclass(frozen=True)
class Augmentation:
    """What the views of training are drawn from."""

    size: int = 128  # side of a view, pixels of the store
    rotation: float = 180.0  # degrees; uniform within plus and minus this
    horizontal_flip: float = 0.5  # probability
    vertical_flip: float = 0.5  # probability
    zoom: float = 1.0  # log-uniform from 1/zoom to zoom
    shift: float = 0.0  # fraction of the stored side; uniform within plus and minus this
    crop: str = "random"
    border: str = "zeros"
    brightness: float = 0.0  # factors uniform within 1 plus and minus this
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0  # turns; uniform within plus and minus this

    def __post_init__(self) -> None:
        require(self.size >= 1, "augmentation.size", "at least 1", self.size)
        require(0 <= self.rotation <= 180, "augmentation.rotation", "degrees from 0 to 180", self.rotation)
        for name in ("horizontal_flip", "vertical_flip", "brightness", "contrast", "saturation"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"augmentation.{name}", "from 0 to 1", value)
        require(1 <= self.zoom <= 1.5, "augmentation.zoom", "from 1 to 1.5 (there is no antialiasing)", self.zoom)
        require(0 <= self.shift <= 0.5, "augmentation.shift", "from 0 to 0.5", self.shift)
        require(0 <= self.hue <= 0.5, "augmentation.hue", "turns from 0 to 0.5", self.hue)
        require_choice("augmentation.crop", self.crop, CROPS)
        require_choice("augmentation.border", self.border, BORDERS)


@dataclass(frozen=True)
class Labels:
    """What is learned of the labels. stretch: how many times as far from the mean answer those are moved that many
    galaxies share, which are means of a class."""

    stretch: float = 1.0

    def __post_init__(self) -> None:
        require(1 <= self.stretch <= 2, "labels.stretch", "from 1 to 2", self.stretch)


@dataclass(frozen=True)
class Network:
    """The body and the tail; widths, convs and hidden shape galaxy-vgg only."""

    name: str = "galaxy-vgg"
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)  # channels of each block
    convs: int = 2  # 3x3 convolutions in a block
    hidden: int = 512  # units of the fully connected layer before the answers; 0: none
    dropout: float = 0.5  # before each fully connected layer
    head: str = "sigmoid"

    def __post_init__(self) -> None:
        require_choice("network.name", self.name, MODELS)
        require_choice("network.head", self.head, HEADS)
        require(len(self.widths) >= 1 and min(self.widths) >= 1, "network.widths", "positive widths", self.widths)
        widest = max(*self.widths, self.hidden)
        require(widest <= MAX_WIDTH, "network.widths and hidden", f"at most {MAX_WIDTH}", widest)
        require(self.convs in (1, 2), "network.convs", "1 or 2", self.convs)
        require(self.hidden >= 0, "network.hidden", "at least 0", self.hidden)
        require(0 <= self.dropout < 1, "network.dropout", "from 0 to below 1", self.dropout)


@dataclass(frozen=True)
class Optimiser:
    """AdamW under a one-cycle schedule: linear warm-up, then a cosine to zero; averaged weights."""

    lr: float = 1e-3  # the peak
    weight_decay: float = 0.02  # of matrices and kernels; biases and norms have none
    warmup: float = 0.1  # fraction of all steps
    clip: float = 0.0  # largest norm of the gradient; 0: not clipped
    average: float = 0.0  # decay of the weights' moving average, after n steps at most n / (9 + n); 0: none

    def __post_init__(self) -> None:
        require(self.lr > 0, "optimiser.lr", "above 0", self.lr)
        require(self.weight_decay >= 0, "optimiser.weight_decay", "at least 0", self.weight_decay)
        require(0 <= self.warmup < 1, "optimiser.warmup", "from 0 to below 1", self.warmup)
        require(self.clip >= 0, "optimiser.clip", "at least 0", self.clip)
        require(0 <= self.average < 1, "optimiser.average", "from 0 to below 1", self.average)


@dataclass(frozen=True)
class Run:
    """Where and how: what changes the speed of a run, and how long it is."""

    epochs: int = 30
    batch_size: int = 128
    seed: int = 1
    validation: float = 0.1  # fraction held out, when no list of ids is given
    views: int = 1  # fixed views averaged when validating after an epoch
    repeat: int = 1  # passes of an epoch: galaxies listed to be repeated come in each, the others in one
    accumulate: int = 1  # parts that a process cuts its batch into, one in memory at a time; their gradients are added
    device: str = "auto"
    precision: str = "auto"
    augment: str = "auto"
    loss: str = "auto"
    body: str = "auto"
    norm: str = "auto"  # the end of galaxy-vgg's blocks: torch's own layers, or norm_relu_pool by its implementation
    resident: str = "auto"  # where the pixels lie: in the GPU's memory, or in the host's, copied a batch ahead
    sync_norm: bool = False  # batch norm over the batch of all processes, not of each; CUDA only
    deterministic: bool = False

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "run.epochs", "at least 1", self.epochs)
        require(self.batch_size >= 1, "run.batch_size", "at least 1", self.batch_size)
        require(0 <= self.seed < 2**63, "run.seed", "from 0 to 2^63 - 1", self.seed)
        require(0 <= self.validation < 1, "run.validation", "from 0 to below 1", self.validation)
        require(self.views >= 1, "run.views", "at least 1", self.views)
        for name in ("repeat", "accumulate"):
            require(getattr(self, name) >= 1, f"run.{name}", "at least 1", getattr(self, name))
        for name in ("epochs", "batch_size", "views", "repeat", "accumulate"):
            require(getattr(self, name) <= MAX_COUNT, f"run.{name}", f"at most {MAX_COUNT}", getattr(self, name))
        require_choice("run.device", self.device, DEVICES)
        require_choice("run.precision", self.precision, PRECISIONS)
        require_choice("run.augment", self.augment, IMPLEMENTATIONS)
        require_choice("run.loss", self.loss, IMPLEMENTATIONS)
        require_choice("run.body", self.body, BODIES)
        require_choice("run.norm", self.norm, NORMS)
        require_choice("run.resident", self.resident, RESIDENCES)


@dataclass(frozen=True)
class Config:
    """A whole run, resolved; what config.toml holds."""

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


def smallest_view(network: Network) -> int:
    """Side of the smallest view that the network can be trained on, pixels."""
    # Halvings must leave a pixel; resnet50's must leave two, for the batch norm of a batch of one.
    return {"vgg11": 32, "vgg16": 32, "resnet50": 33}.get(network.name, 1 << len(network.widths))
