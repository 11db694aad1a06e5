"""What LMDZ adds, reading the files by its own rules, is the correction that was learned."""

import shutil

import jax
import jax.numpy as jnp
import netCDF4
import numpy as np
import pytest

from closura.closures.climatological import ClimatologicalTendency
from closura.core.closure import Zero
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.export.guide_add import _plan, prove
from closura.export.ship import export_closure
from closura.grids.lmdz_grid import LmdzGrid

GRID = LmdzGrid(8, 6)
LEVELS = np.array([5e3, 3e4, 9e4])
LAT, LON = -GRID.latitude_u[1:-1], 45.0 * np.arange(8)
UNITS = (("u", "m s-2"), ("v", "m s-2"))


def correction(hours=2, terms=3, seed=0):
    draw = np.random.default_rng(seed)
    shape = (hours, terms, 3, 5, 8)
    scale = 5 / 86400  # 5 m/s in a day
    return ClimatologicalTendency(
        {wind: jnp.asarray(scale * draw.normal(size=shape)) for wind in ("u", "v")}, 0.0
    )


def pairs(units=UNITS, **changes):
    draw = np.random.default_rng(1)
    fields = {w: draw.normal(size=(1, 2, 3, 5, 8)) for w in ("u", "v")}
    ground = {"surface_pressure": 1e5 + 10 * draw.random((1, 2, 5, 8))}
    known = {"level": LEVELS, "lat": LAT, "lon": LON, "ap": LEVELS - 100 * np.arange(3.0),
             "bp": np.array([0.0, 0.1, 0.9])}  # fmt: skip
    return Pairs(fields | ground, fields, np.arange(2.0), Passport("file", units=units),
                 coordinates=known | changes)  # fmt: skip


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guide") / "files"
    with jax.enable_x64(True):
        made = correction()
    return folder, made, export_closure(made, folder, pairs=pairs(), to="guide_add", name="mean")


def test_the_files_are_as_lmdz_reads_them(shipped):
    folder, _, figures = shipped
    with netCDF4.Dataset(folder / "u.nc") as u, netCDF4.Dataset(folder / "v.nc") as v:
        assert u["UWND"].dimensions == v["VWND"].dimensions == ("TIME", "LEVEL", "LAT", "LON")
        # Two records a day in a leap year and its end; 7 rows of u with poles, 6 of v; 8 + 1 lines.
        assert u["UWND"].shape == (733, 3, 7, 9)
        assert v["VWND"].shape == (733, 3, 6, 9)
        assert u.dimensions["TIME"].isunlimited()
        np.testing.assert_allclose(u["LEVEL"][:], [50, 300, 900])  # [hPa]
        np.testing.assert_allclose(u["LAT"][:], np.linspace(-90, 90, 7), atol=1e-9)
        np.testing.assert_allclose(u["LON"][:2], [-157.5, -112.5])
        np.testing.assert_allclose(v["LON"][[0, -1]], [-180, 180])
        np.testing.assert_array_equal(u["UWND"][:, :, [0, -1]], 0.0)
        np.testing.assert_array_equal(v["VWND"][..., 0], v["VWND"][..., -1])
        assert u["UWND"].units == "m s-1 day-1"
    assert figures["records"] == 733


def test_a_day_of_lmdz_adds_what_the_closure_says(shipped):
    # Independent of the gate: one point of u by hand, 12 March (day 71 + 1), 12 h.
    folder, made, figures = shipped
    day, record = 72.0, 71 * 2 + 1
    turn = 2 * np.pi * (day + 0.5) / 365.25
    year = np.array([1, np.cos(turn), np.sin(turn)])
    here = np.tensordot(year, np.asarray(made.coefficients["u"])[1], axes=1)
    with netCDF4.Dataset(folder / "u.nc") as u:
        # LMDZ's u between the scalars at 0 and 45 E lies at 22.5 E: line (22.5 + 157.5) / 45 = 4.
        found = u["UWND"][record, 2, 1 + 3, 4]
    wanted = 86400 * (here[2, 3, 0] + here[2, 3, 1]) / 2
    assert found == pytest.approx(wanted, rel=1e-6)
    assert figures["native"]["single"]["largest"] < 1e-6


def test_levels_of_the_model_go_along(shipped):
    folder, _, _ = shipped
    with netCDF4.Dataset(folder / "apbp.nc") as file:
        np.testing.assert_allclose(file["AP"][:], [5000, 29900, 89800])
        np.testing.assert_allclose(file["BP"][:], [0, 0.1, 0.9])
    with netCDF4.Dataset(folder / "ps.nc") as file:
        assert file["SP"].shape == (733, 7, 9)
        assert file["SP"][:].min() > 99999
    assert "guide_plevs=1" in (folder / "guide.def").read_text()


def test_the_page_says_how_lmdz_is_told(shipped):
    folder, _, _ = shipped
    keys = (folder / "guide.def").read_text().splitlines()
    assert {"guide_add=y", "tau_min_u=1.", "tau_min_v=1.", "guide_BL=y", "iguide_read=2"} <= {*keys}
    page = (folder / "README.md").read_text()
    assert "@" not in page
    assert "u.nc, v.nc, apbp.nc and ps.nc" in page
    assert "Season: the mean and 1 harmonic of the year." in page


def test_a_correction_that_never_changes_is_one_record(tmp_path):
    bare = pairs()
    bare = Pairs(bare.targets, bare.targets, bare.time, bare.passport,
                 coordinates={k: bare.coordinates[k] for k in ("level", "lat", "lon")})  # fmt: skip
    folder = tmp_path / "files"
    figures = export_closure(correction(1, 1), folder, pairs=bare, to="guide_add")
    assert figures["records"] == 1
    assert "Season: none: every day of the year is the same" in (folder / "README.md").read_text()
    said = (folder / "guide.def").read_text()
    assert "iguide_read=0" in said and "guide_plevs=0" in said
    assert not (folder / "ps.nc").exists()


def test_a_damaged_file_does_not_pass_the_gate(shipped, tmp_path):
    folder, made, _ = shipped
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with netCDF4.Dataset(copy / "v.nc", "a") as file:
        file["VWND"][0] = file["VWND"][0][:, ::-1]
    with jax.enable_x64(True), pytest.raises(ValueError, match="what LMDZ adds differs from the"):
        prove(copy, made, _plan(made, pairs()))


def test_a_correction_with_nan_is_refused(tmp_path):
    made = correction()
    made.coefficients["v"] = made.coefficients["v"].at[1, 2, 0, 3, 4].set(jnp.nan)
    with pytest.raises(ValueError, match=r"the correction of 'v' has 1 values that are not finite"):
        export_closure(made, tmp_path / "x", pairs=pairs(), to="guide_add")
    assert not list(tmp_path.iterdir())


def test_nan_in_a_file_does_not_pass_the_gate(shipped, tmp_path):
    folder, made, _ = shipped
    copy = shutil.copytree(folder, tmp_path / "copy")
    with netCDF4.Dataset(copy / "u.nc", "a") as file:
        file["UWND"][0, 1, 3, 4] = np.nan
    with jax.enable_x64(True), pytest.raises(ValueError, match="closure by inf of an output"):
        prove(copy, made, _plan(made, pairs()))


def test_a_closure_that_sees_the_state_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Zero sees the state and cannot be shipped as LMDZ's"):
        export_closure(Zero(), tmp_path / "x", pairs=pairs(), to="guide_add")


def test_a_correction_of_one_wind_is_refused(tmp_path):
    one = ClimatologicalTendency({"u": correction().coefficients["u"]})
    with pytest.raises(ValueError, match=r"the correction has no 'v', it has u, and cannot be"):
        export_closure(one, tmp_path / "x", pairs=pairs(), to="guide_add")
    assert not list(tmp_path.iterdir())


def test_a_tendency_per_day_is_refused(tmp_path):
    per_day = pairs(units=(("u", "m s-1 day-1"), ("v", "m s-1 day-1")))
    with pytest.raises(ValueError, match=r"the tendency of 'u' has units 'm s-1 day-1'; guide_add"):
        export_closure(correction(), tmp_path / "x", pairs=per_day, to="guide_add")


def test_another_grid_is_refused(tmp_path):
    gauss = pairs(lat=np.array([-66.0, -33, 0, 33, 66]))
    with pytest.raises(
        ValueError, match=r"the pairs stand on 5 latitudes from -66 to 66 and 8 long"
    ):
        export_closure(correction(), tmp_path / "x", pairs=gauss, to="guide_add")
