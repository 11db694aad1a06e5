"""Pairs that features are tried on; the box, where it stands and where it shall go."""

import jax
import pytest

from box import Box
from closura.core.learner import Pairs
from made_atmosphere import made_pairs


@pytest.fixture
def pairs() -> Pairs:
    """Pairs of the made-up atmosphere."""
    return made_pairs()


@pytest.fixture
def box():
    """The model."""
    return Box()


@pytest.fixture
def state(box, key):
    """Where it stands."""
    return box.initial_state(key)


@pytest.fixture
def reference(box):
    """Where it shall go."""
    return box.initial_state(jax.random.key(11))
