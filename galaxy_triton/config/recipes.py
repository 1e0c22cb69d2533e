"""The named recipes."""

from galaxy_triton.config.schema import Augmentation, Config, Labels, Network, Optimiser, Preprocess, Run

# The seed document's recipe: 160, any rotation, both flips, crop 128, jitter 0.1/0.1/0.1/0.05, VGG blocks
# 64-128-256-512-512, adaptive pooling, dropout tail, sigmoid + MSE, mixed precision. It leaves open, and ours are: two
# convolutions a block, batch norm, bilinear sampling, a zero border, AdamW and its schedule, the batch, the epochs.
SEED = Config(augmentation=Augmentation(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05))


# Chosen on 4,000 images with two CPU cores, on which it trains for a quarter of an hour: bench/accuracy/axes.py.
BEST = Config(
    recipe="best",
    preprocess=Preprocess(crop=192, size=80),
    augmentation=Augmentation(size=64, zoom=1.2, shift=0.05, crop="centre"),
    labels=Labels(stretch=1.3),
    network=Network(widths=(24, 48, 96, 128, 160), convs=1, hidden=0, dropout=0.0, head="tree"),
    optimiser=Optimiser(lr=4e-3, weight_decay=0.02, warmup=0.2),
    run=Run(epochs=180, batch_size=64),
)


# Minutes on two cores, for the simulated sky of a first run.
DEMO = Config(
    recipe="demo",
    preprocess=Preprocess(crop=256, size=64),
    augmentation=Augmentation(size=52, zoom=1.2, shift=0.05, crop="centre", brightness=0.1, contrast=0.1, hue=0.02),
    network=Network(widths=(16, 32, 64, 96), convs=1, hidden=0, dropout=0.0),
    optimiser=Optimiser(lr=4e-3, weight_decay=0.02, warmup=0.2),
    run=Run(epochs=20, batch_size=64, validation=0.15),
)


RECIPES: dict[str, Config] = {"demo": DEMO, "seed": SEED, "best": BEST}
