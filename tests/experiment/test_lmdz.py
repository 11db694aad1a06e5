"""From LMDZ's nudging output to a closure and to files that LMDZ adds: no model runs."""

import netCDF4
import numpy as np
import pytest

from closura.core.learner import Pairs
from closura.data.closures import load_closure
from closura.data.pairs import load_pairs
from closura.experiment import run_experiment
from closura.experiment.shipping import export_run
from closura.grids.lmdz_grid import LmdzGrid, physical_wind, u_to_centres
from lmdz_files import CALLS, IIM, JJM, LLM, write_guide, write_states

RECORDS = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with guide_ins.nc and histins.nc, and the template copied into it."""
    folder = tmp_path_factory.mktemp("lmdz")
    write_guide(folder / "guide_ins.nc", records=RECORDS, ucov="per call")
    write_states(folder / "histins.nc", records=RECORDS)
    return folder


@pytest.fixture(scope="module")
def run(place):
    """The bundled template with two learners, run in that folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("OMP_NUM_THREADS", "1")
        from closura.experiment.document import copy_document

        path = copy_document("my_lmdz", "lmdz_columns", place)
        before, rest = path.read_text().split("  forest:\n")
        path.write_text(before + rest[rest.index("\nevaluate:") :])
        return run_experiment(
            path, folder=place / "run", quiet=True, until="offline",
            overrides=["evaluate.samples=20", "learners.linear.ridge=0.000001"],
        )  # fmt: skip


def test_a_linear_error_of_the_columns_is_found(run):
    # The files' nudging is linear in the column, and the same everywhere.
    found = run.offline["overall_r_squared"].sel(model="linear")
    assert float(found.min()) > 0.9999


def test_the_pairs_know_their_places_and_dates(run, place):
    pairs = load_pairs(place / "run" / "pairs.zarr")
    assert isinstance(pairs, Pairs)
    assert pairs.inputs["temperature"].shape[2:] == (LLM, JJM - 1, IIM)
    assert set(pairs.coordinates) == {"level", "lat", "lon", "ap", "bp"}
    assert pairs.given["calendar"]["day"][0] == 1
    assert dict(pairs.passport.units) == {"u": "m s-2", "v": "m s-2"}


def test_what_a_short_record_lacks_is_said_and_levels_are_pressures(run):
    (line,) = run.all_warnings()
    assert "days of a year, which give 0 of 3 harmonics: the correction has no season" in line
    assert run.offline["level"].attrs["units"] == "Pa"


def test_the_mean_correction_goes_back_to_lmdz(run, place):
    (folder,) = export_run(place / "run", learner="by_date", to="guide_add")
    closure = load_closure(place / "run" / "by_date")
    grid = LmdzGrid(IIM, JJM)
    with netCDF4.Dataset(folder / "u.nc") as file:
        held = np.asarray(file["UWND"][1], float)[::-1, ::-1]  # 1 January, 6 h, as LMDZ reads it
    # One call of the guide, back at the centres, against the closure: north first, surface first.
    call = physical_wind((1 / CALLS) * held * grid.cu, grid.cu) * CALLS / 86400
    mean = np.asarray(closure.coefficients["u"])[1, 0][::-1, ::-1]
    mean = np.roll(mean, mean.shape[-1] // 2, axis=-1)
    twice = (np.roll(mean, 1, -1) + 2 * mean + np.roll(mean, -1, -1)) / 4
    np.testing.assert_allclose(u_to_centres(call), twice, atol=1e-6 * np.abs(mean).max())


def test_a_layout_that_is_not_known_is_refused(place):
    with pytest.raises(
        ValueError, match=r"data.layout: there is no 'lmdzz' among the layouts; did"
    ):
        run_experiment(
            place / "my_lmdz.yaml", folder=place / "no", overrides=["data.layout=lmdzz"], quiet=True
        )


def test_an_unknown_setting_of_the_layout_offers_the_nearest(place):
    with pytest.raises(ValueError, match=r"data.layout: lmdz has no setting 'evry'; did you"):
        run_experiment(
            place / "my_lmdz.yaml", folder=place / "no", quiet=True,
            overrides=["data.layout={type: lmdz, evry: 6 hours}"],
        )  # fmt: skip
