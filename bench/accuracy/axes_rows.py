"""The choices that `axes.py` measures: a network to start from, and what each row changes, in two tables."""

from dataclasses import dataclass, field

Settings = dict[str, object]

# Where the rows start: the recipe `best`, for 24 epochs.
START: Settings = {
    "preprocess.crop": 192,
    "preprocess.size": 80,
    "augmentation.size": 64,
    "augmentation.zoom": 1.2,
    "augmentation.shift": 0.05,
    "augmentation.border": "zeros",
    "augmentation.crop": "centre",
    "labels.stretch": 1.3,
    "network.name": "galaxy-vgg",
    "network.widths": [24, 48, 96, 128, 160],
    "network.convs": 1,
    "network.hidden": 0,
    "network.dropout": 0.0,
    "network.head": "tree",
    "optimiser.lr": 4e-3,
    "optimiser.weight_decay": 0.02,
    "optimiser.warmup": 0.2,
    "optimiser.average": 0.0,
    "run.epochs": 24,
    "run.batch_size": 64,
    "run.views": 1,
}
# a block more for a view of 64 px, down to a pixel
SIX = [24, 48, 96, 128, 160, 192]
BASE = "start"


@dataclass(frozen=True)
class Row:
    """A row. axis: what kind of choice it is. settings: over the start. tint: colour as the challenge's winner did
    it. views: fixed views at the end."""

    axis: str
    settings: Settings = field(default_factory=dict)
    tint: bool = False
    views: int = 16


ROWS: dict[str, Row] = {
    BASE: Row(""),
    "sigmoid head": Row("head", {"network.head": "sigmoid"}),
    "labels not stretched": Row("labels", {"labels.stretch": 1.0}),
    "labels stretched 1.15": Row("labels", {"labels.stretch": 1.15}),
    "labels stretched 1.45": Row("labels", {"labels.stretch": 1.45}),
    "1 view": Row("views", views=1),
    "4 views": Row("views", views=4),
    "64 views": Row("views", views=64),
    "48 epochs": Row("epochs", {"run.epochs": 48}),
    "96 epochs": Row("epochs", {"run.epochs": 96}),
    "crop 160": Row("crop", {"preprocess.crop": 160}),
    "crop 224": Row("crop", {"preprocess.crop": 224}),
    "crop 256": Row("crop", {"preprocess.crop": 256}),
    "96 px view": Row("view", {"preprocess.size": 120, "augmentation.size": 96}),
    "48 px view": Row("view", {"preprocess.size": 60, "augmentation.size": 48}),
    "no zoom": Row("zoom", {"augmentation.zoom": 1.0}),
    "zoom 1.4": Row("zoom", {"augmentation.zoom": 1.4}),
    "no shift": Row("shift", {"augmentation.shift": 0.0}),
    "shift 0.1": Row("shift", {"augmentation.shift": 0.1}),
    "reflected border": Row("border", {"augmentation.border": "reflect"}),
    "no rotation": Row("rotation", {"augmentation.rotation": 0.0}),
    "brightness 0.1": Row("colour", {"augmentation.brightness": 0.1}),
    "contrast 0.1": Row("colour", {"augmentation.contrast": 0.1}),
    "saturation 0.1": Row("colour", {"augmentation.saturation": 0.1}),
    "hue 0.05": Row("colour", {"augmentation.hue": 0.05}),
    "winner's colour": Row("colour", tint=True),
    "half as wide": Row("width", {"network.widths": [12, 24, 48, 64, 80]}),
    "1.5 times as wide": Row("width", {"network.widths": [36, 72, 144, 192, 240]}),
    "two convolutions a block": Row("depth", {"network.convs": 2}),
    "4 blocks": Row("depth", {"network.widths": [24, 48, 96, 160]}),
    "6 blocks": Row("depth", {"network.widths": SIX}),
    "6 blocks, no shift": Row("depth and shift", {"network.widths": SIX, "augmentation.shift": 0.0}),
    "hidden layer of 256": Row("depth", {"network.hidden": 256}),
    "dropout 0.2": Row("regularisation", {"network.dropout": 0.2}),
    "dropout 0.5": Row("regularisation", {"network.dropout": 0.5}),
    "no weight decay": Row("regularisation", {"optimiser.weight_decay": 0.0}),
    "weight decay 0.1": Row("regularisation", {"optimiser.weight_decay": 0.1}),
    "lr 1e-3": Row("schedule", {"optimiser.lr": 1e-3}),
    "lr 1e-2": Row("schedule", {"optimiser.lr": 1e-2}),
    "warm-up 0.05": Row("schedule", {"optimiser.warmup": 0.05}),
    "batch 32": Row("schedule", {"run.batch_size": 32}),
    "batch 128": Row("schedule", {"run.batch_size": 128}),
    # at 24 epochs the decay gets to 0.994
    "average 0.99": Row("averaging", {"optimiser.average": 0.99}),
    "average 0.998": Row("averaging", {"optimiser.average": 0.998}),
}

NETWORKS: dict[str, Row] = {
    BASE: Row(""),
    "resnet50": Row("network", {"network.name": "resnet50"}),
    "resnet50, lr 1e-3": Row("network", {"network.name": "resnet50", "optimiser.lr": 1e-3}),
    "vgg11": Row("network", {"network.name": "vgg11"}),
    "vgg11, lr 1e-3": Row("network", {"network.name": "vgg11", "optimiser.lr": 1e-3}),
    "vgg16, lr 1e-3": Row("network", {"network.name": "vgg16", "optimiser.lr": 1e-3}),
}


@dataclass(frozen=True)
class Table:
    """start: what each row changes. rows: by name, the first without a change."""

    start: Settings
    rows: dict[str, Row]


# A step of torchvision's networks takes many times the start's: they have fewer epochs, and a start of their own.
TABLES = {"choices": Table(START, ROWS), "networks": Table(START | {"run.epochs": 8}, NETWORKS)}
