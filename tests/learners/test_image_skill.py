"""What networks of the whole sphere explain of held-out times, beside a network of columns."""

import numpy as np
import pytest

import closura as cl
from closura.evaluation.by_level import overall_r_squared
from made_atmosphere import made_pairs

ROWS, LINES, LEVELS, TIMES = 10, 16, 3, 260
SEEN = {"variables": ("u", "v", "temperature")}


def smooth(generator, times):
    """Random waves along both directions, anew each time, (1, time, level, lat, lon)."""
    rows, lines = np.meshgrid(np.arange(ROWS), np.arange(LINES), indexing="ij")
    found = np.zeros((times, LEVELS, ROWS, LINES))
    for _ in range(12):
        along, across = generator.integers(0, 5), generator.uniform(0.2, 1.6)
        phase = generator.uniform(0, 2 * np.pi, LEVELS)[:, None, None]
        size = generator.normal(size=(times, 1, 1, 1))
        drift = generator.uniform(0, 2 * np.pi, (times, 1, 1, 1))
        found += size * np.sin(2 * np.pi * along * lines / LINES + across * rows + phase + drift)
    return found[None] / 3


def drag_and_gradient(share):
    """Pairs of a drag on the lowest levels, and a share of what the neighbours' warmth makes."""
    generator = np.random.default_rng(5)
    fields = {name: smooth(generator, TIMES) for name in SEEN["variables"]}
    friction = np.array([0.0, 0.3, 1.0])[:, None, None]
    warm = fields["temperature"]
    slope = 0.5 * (np.roll(warm, -1, axis=-1) - np.roll(warm, 1, axis=-1))
    targets = {
        "u": -friction * fields["u"] * (1 + 0.3 * np.abs(fields["v"])) + share * slope,
        "v": -friction * fields["v"] + share * np.roll(slope, 1, axis=-1),
    }
    noise = {name: 0.3 * generator.normal(size=a.shape) for name, a in targets.items()}
    latitude = -90 + (np.arange(ROWS) + 0.5) * 180 / ROWS
    return made_pairs(
        inputs=fields, targets={n: a + noise[n] for n, a in targets.items()},
        time=21600.0 * np.arange(TIMES), given={}, static={},
        coordinates={"level": (0.5 + np.arange(LEVELS)) / LEVELS, "lat": latitude,
                     "lon": 360 / LINES * np.arange(LINES)},
    )  # fmt: skip


LEARNERS = {
    "network": cl.Network(features=cl.Column(**SEEN), width=32, epochs=20, batch=512),
    "unet": cl.UNet(cl.LatLonImage(**SEEN)),
    "graph": cl.Graph(cl.SphereMesh(**SEEN)),
}


def skill(name, pairs, key):
    """Mean share of the variance of held-out times that a learner explains."""
    training, held = pairs.split(0.2, blocks=1, gap=4)
    found = overall_r_squared(LEARNERS[name].fit(training, key=key), held)
    return float(np.mean(list(found.values())))


@pytest.mark.slow
@pytest.mark.parametrize(("share", "ahead"), [(0.0, -0.01), (1.0, 0.15)])
def test_images_and_graphs_explain_at_least_what_columns_do(share, ahead, key):
    # Of what columns know all, they lose a hundredth at most; of neighbours they know more
    # (seen: 0.28 and 0.19).
    pairs = drag_and_gradient(share)
    columns = skill("network", pairs, key)
    for name in ("unet", "graph"):
        assert skill(name, pairs, key) > columns + ahead, (name, columns)
