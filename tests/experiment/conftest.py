"""One undisturbed run of the tiny experiment, made once and shared."""

from pathlib import Path

import pytest

from closura.experiment import run_experiment

TINY = Path(__file__).with_name("tiny.yaml")


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The YAML of an experiment that takes seconds."""
    return TINY


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Path:
    """The run folder of the tiny experiment, run in one go; read it, never write it."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run_experiment(TINY, folder=folder, quiet=True)
    return folder
