"""Reports that several tests look at, written once."""

from pathlib import Path

import pytest

from report.fabricated_run import fabricate, fabricate_columns

CROWD = (
    "linear", "cubic", "noisy cubic with a name that is far too long", "network", "forest",
    "_tuned & <b>net</b>", "$x^2$", "online", "gaussian process", "quartic", "equation", "last one",
)  # fmt: skip


@pytest.fixture(scope="session")
def ring_run(tmp_path_factory) -> Path:
    """A fabricated Lorenz-96 run with its report."""
    from closura.report import write_report

    folder = fabricate(tmp_path_factory.mktemp("report") / "ring")
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def column_run(tmp_path_factory) -> Path:
    """A fabricated run on a user's own columns with its report."""
    from closura.report import write_report

    folder = fabricate_columns(tmp_path_factory.mktemp("report") / "columns")
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def crowded_run(tmp_path_factory) -> Path:
    """A fabricated run of twelve learners with awkward names, one of which blows up."""
    from closura.report import write_report

    folder = fabricate(tmp_path_factory.mktemp("report") / "crowd", closures=CROWD, worst="forest")
    write_report(folder)
    return folder
