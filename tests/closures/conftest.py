"""Pairs that features are tried on."""

import pytest

from closura.core.learner import Pairs
from made_atmosphere import made_pairs


@pytest.fixture
def pairs() -> Pairs:
    """Pairs of the made-up atmosphere."""
    return made_pairs()
