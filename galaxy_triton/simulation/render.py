"""The picture of a simulated galaxy: its light on the pixels of SDSS, seeing, noise, and an SDSS cutout's colours.

Pictures are made as the challenge's were: observed at 0.396 arcseconds a pixel, stretched (Lupton et al. 2004), and
only then enlarged to 424 pixels, so that a small galaxy is blur and its noise blotchy. Light is float32 [3, n, n],
in units of the sky's noise in r; its bands, i, r and g, become red, green and blue.
"""

from math import pi

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.simulation.light import Grid, Light, galaxy_light, normalise, tint
from galaxy_triton.simulation.morphology import SEEING, Galaxy

SIDE = 424  # of a picture, pixels
UNIT = 50  # pixels of a picture in one R90: the challenge's cutouts have 0.02 R90 a pixel
PIXEL = 0.396  # side of a pixel of SDSS's camera, arcseconds
ELECTRONS = 25  # per unit of light, about; the sky's noise in r is their square root
SKY_NOISE = (1.2, 1.0, 0.65)  # in i, r, g
PEDESTAL = (0.4, 0.35, 0.1)  # level of the sky in a cutout, in i, r, g
WEIGHTS = (0.9, 1.0, 1.5)  # of i, r, g in a cutout
SOFTENING = 8.0  # Lupton's Q
STRETCH = 0.028  # Lupton's alpha


def render(galaxy: Galaxy, rng: Generator) -> NDArray[np.uint8]:
    """Draw a galaxy in its field: uint8 [424, 424, 3]. `rng` draws the field, the arms' details and the noise."""
    grid = survey_grid(galaxy.size)
    # R90 holds nine tenths of the light
    brightness = galaxy.depth * pi / grid.pixel**2 / 0.9
    light = _field(grid, rng)
    frame = grid.turn(galaxy.angle)
    if galaxy.star:
        light += bright_star(frame, brightness, galaxy.colour)
    else:
        light += np.float32(brightness) * galaxy_light(galaxy, frame, rng)
    # the Milky Way's dust, redshift and calibration differ from field to field
    light *= rng.lognormal(0, (0.04, 0, 0.04)).astype(np.float32)[:, None, None]
    seeing = SEEING * rng.lognormal(0, 0.1) / PIXEL / 2.355
    observed = add_noise(blur(light, seeing), rng)
    native = Image.fromarray(lupton_rgb(observed))
    return np.asarray(native.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def survey_grid(size: float) -> Grid:
    """The grid of the survey's pixels in the cutout of a galaxy whose R90 is `size` arcseconds."""
    pixel = PIXEL / size
    count = round(SIDE / UNIT / pixel)
    line = (np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2)) * np.float32(pixel)
    x, y = np.meshgrid(line, line)
    return Grid(x, y, pixel)


def blur(light: Light, sigma: float) -> Light:
    """Convolve light [3, n, n] with a Gaussian seeing of `sigma` pixels; border pixels are repeated outward."""
    reach = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (1, 2):
        light = _convolved(light, taps, axis)
    return light


def add_noise(light: Light, rng: Generator) -> Light:
    """Add the sky's level and noise, and the photons' own noise, both as normal deviates."""
    sky = np.array(SKY_NOISE, dtype=np.float32)[:, None, None]
    deviation = np.sqrt(sky * sky + np.maximum(light, 0) / np.float32(ELECTRONS))
    # the sky's level after an imperfect subtraction
    left = np.float32(rng.exponential(0.15)) + np.array(PEDESTAL, dtype=np.float32)[:, None, None]
    return light + left + deviation * rng.standard_normal(light.shape, dtype=np.float32)


def lupton_rgb(light: Light) -> NDArray[np.uint8]:
    """Convert light [3, n, n] to uint8 [n, n, 3]: asinh of the bands' mean, at their ratios (Lupton et al. 2004)."""
    weighted = light * np.array(WEIGHTS, dtype=np.float32)[:, None, None]
    scaled = weighted.mean(axis=0) * np.float32(SOFTENING * STRETCH)
    # asinh(x) / x is 1 at 0
    safe = np.where(np.abs(scaled) < 1e-4, np.float32(1e-4), scaled)
    rgb = weighted * (np.float32(STRETCH) * np.arcsinh(safe) / safe)
    rgb /= np.maximum(rgb.max(axis=0), 1)
    return np.ascontiguousarray(np.clip(rgb * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def bright_star(grid: Grid, flux: float, colour: float) -> Light:
    """A saturated star at the origin: a wide halo, and the spikes of the telescope's spider: [3, n, n]."""
    width, reach = np.float32(0.7 * grid.pixel), np.float32(20 * grid.pixel)
    across, along = np.abs(grid.x), np.abs(grid.y)
    spikes = np.exp(-across / width - along / reach) + np.exp(-along / width - across / reach)
    halo = _moffat(grid.radius / np.float32(grid.pixel), 1.5, 1.5)
    return np.float32(flux) * tint(halo + np.float32(0.1) * normalise(spikes), colour)


def _field(grid: Grid, rng: Generator) -> Light:
    """Stars and other galaxies, brighter ones rarer, in proportion to the cutout's area on the sky."""
    side = len(grid.x)
    light = np.zeros((3, side, side), dtype=np.float32)
    for _ in range(rng.poisson(7 * (side * PIXEL / 60) ** 2 + 1)):
        flux, colour = min(70 * (1 + rng.pareto(0.9)), 3e4), rng.uniform(0.1, 1.5)
        if rng.random() < 0.5:
            _add_blob(light, flux, 0.7, 1.0, colour, rng)
        else:
            _add_blob(light, flux, rng.uniform(1.5, 4), rng.uniform(0.4, 1), min(colour, 1.1), rng)
    if rng.random() < 0.04:
        place = grid.move(*rng.uniform(-4, 4, 2)).turn(rng.uniform(0, 180))
        light += bright_star(place, 10 ** rng.uniform(4.5, 6), rng.uniform(0.2, 1.4))
    return light


def _add_blob(light: Light, flux: float, width: float, axis_ratio: float, colour: float, rng: Generator) -> None:
    """Add Moffat's (1969) profile, `width` pixels wide, at a random place to `light`, within a window around it."""
    place = rng.uniform(0, light.shape[1], 2)
    reach = int(8 * width) + 4
    low = np.maximum(place.astype(int) - reach, 0)
    high = np.minimum(place.astype(int) + reach + 1, light.shape[1])
    window = (slice(None), slice(low[1], high[1]), slice(low[0], high[0]))
    x, y = np.meshgrid(*(np.arange(a, b, dtype=np.float32) for a, b in zip(low, high, strict=True)))
    frame = Grid(x, y, 1.0).move(*place).turn(rng.uniform(0, 180)).tilt(axis_ratio)
    light[window] += np.float32(flux / axis_ratio) * tint(_moffat(frame.radius, width, 2.5), colour)


def _moffat(radius: Light, width: float, beta: float) -> Light:
    """Moffat's (1969) profile with an integral of one over the plane; radius and width in pixels."""
    squared = (radius / np.float32(width)) ** 2
    return np.float32((beta - 1) / (pi * width**2)) * (1 + squared) ** np.float32(-beta)


def _convolved(light: Light, taps: Light, axis: int) -> Light:
    reach, length = len(taps) // 2, light.shape[axis]
    margins = [(reach, reach) if place == axis else (0, 0) for place in range(3)]
    padded = np.moveaxis(np.pad(light, margins, mode="edge"), axis, 0)
    total = np.zeros((length, *padded.shape[1:]), dtype=np.float32)
    for place, tap in enumerate(taps):
        total += tap * padded[place : place + length]
    return np.moveaxis(total, 0, axis)
