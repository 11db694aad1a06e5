"""The pairs that training and hybrids are timed on: the book's Lorenz-96, K = 8, J = 32, F = 20."""

from functools import cache
from typing import Any

import jax

import closura as cl


@cache
def truth() -> Any:
    """Return the fine model."""
    return cl.Lorenz96TwoScale(K=8, J=32, F=20.0, dt=0.001)


@cache
def coarse() -> Any:
    """Return the coarse model."""
    return cl.Lorenz96(K=8, F=20.0, dt=0.005)


@cache
def pairs() -> Any:
    """Return 25 members of 1000 instants each: 20 000 samples to train on, 5 000 held out."""
    run = cl.simulate(
        truth(), duration=50.05, spinup=5.0, every=0.05, members=25, key=jax.random.key(1)
    )
    return cl.diagnose(run, truth=truth(), coarse=coarse(), target="coupling").at(slice(1000))
