"""What the report says in numbers and words."""

import numpy as np
import pytest
import xarray as xr

from closura.report.cast import FLOOR
from closura.report.drawing import spread_apart
from closura.report.figures.relation import bin_means
from closura.report.figures.training import training_curves
from closura.report.material import gather
from closura.report.numbers import Curve, Interval, curve, pretty_units, resolved, written
from closura.report.prices import prices_of
from closura.report.run_folder import read_run_folder
from closura.report.table import MAE, MEASURES, judged, tables_of
from closura.report.words import summary, warnings_of

DISTANCE = next(measure for measure in MEASURES if measure.name == "wasserstein_1")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4804, "0.480"), (-12.34, "−12.3"), (4411.2, "4411"), (0.0, "0"), (float("nan"), "–"),
     (1.234e-7, "1.23 × 10⁻⁷"), (-2.5e8, "−2.50 × 10⁸"), (float("inf"), "–")],
)  # fmt: skip
def test_numbers_are_written_with_three_digits_and_a_true_minus(value, text):
    assert written(value) == text


@pytest.mark.parametrize(
    ("units", "text"),
    [("K s-1", "K s⁻¹"), ("kg kg-1 s-1", "kg kg⁻¹ s⁻¹"), ("1", ""), (None, ""), ("hPa", "hPa")],
)
def test_units_are_written_as_in_print(units, text):
    assert pretty_units(units) == text


def test_a_spectrum_ends_where_rounding_begins():
    spectrum = Curve(np.arange(6), np.array([3.0, 40.0, 2.0, 1e-4, 1e-13, 0.0]), None, None)
    np.testing.assert_array_equal(resolved(spectrum), [True, True, True, True, False, False])


def test_the_best_is_marked_and_what_cannot_be_told_from_it():
    values = {
        "a": Interval(1.00, 0.9, 1.1), "b": Interval(1.05, 1.0, 1.2), "c": Interval(3.0, 2.8, 3.2),
        FLOOR: Interval(0.02, np.nan, np.nan),
    }  # fmt: skip
    assert judged(values, MAE, ["a", "b", "c"]) == ("a", {"b"})  # intervals overlap
    assert judged(values, DISTANCE, ["a", "b", "c"]) == ("a", set())  # 0.05 is above the floor
    assert judged({}, MAE, ["a"]) == (None, set())


def test_the_summary_names_winner_ratio_and_floor(ring_run):
    text = " ".join(summary(gather(read_run_folder(ring_run))))
    # Made up so that the error of the network is a sixth of that without closure.
    assert "In the running model network forecasts X best" in text
    assert "6.0 times less than with no closure (2.89)" in text
    assert "The noise floor" in text


def test_a_gain_within_the_intervals_is_no_gain(tmp_path):
    from report.fabricated_run import fabricate

    fabricate(tmp_path, closures=("cubic",))
    scores = xr.load_dataset(tmp_path / "scores.nc")
    for end in ("lower", "upper"):
        wide = 100.0 * (1 if end == "upper" else -1)
        scores[f"forecast_mae_first_unit_{end}"] = scores["forecast_mae_first_unit"] + wide
    scores.to_netcdf(tmp_path / "scores.nc")
    text = " ".join(summary(gather(read_run_folder(tmp_path))))
    assert "no gain over no closure" in text


def test_few_columns_are_called_few(column_run):
    text = " ".join(summary(gather(read_run_folder(column_run))))
    assert "121 training instants are few" in text


def test_the_table_holds_everyone_with_their_flags(crowded_run):
    (table,) = tables_of(gather(read_run_folder(crowded_run)))
    rows = {row.name: row for row in table.rows}
    assert table.rows[0].name == "no closure"
    assert len(rows) == 12 + 3  # learners, no closure, noise floor, truth
    assert rows["linear"].flags == ["lost chaos"]
    assert rows["forest"].flags == ["25 % blew up"]
    assert all(len(row.cells) == len(table.heads) for row in table.rows)


def test_each_closure_keeps_one_look_and_no_two_share_it(crowded_run):
    cast = gather(read_run_folder(crowded_run)).cast
    looks = [(role.colour, str(role.dash)) for role in cast.everyone]
    assert len(set(looks)) == len(looks)


def test_a_warning_is_said_once(ring_run):
    run = read_run_folder(ring_run)
    lines = warnings_of(gather(run))
    assert lines == ["linear: lost its chaos in 100% of the long runs",
                     "the target was measured over dt = 0.005."]  # fmt: skip


def test_scores_without_warnings_of_their_own_are_searched_for_them(tmp_path):
    from report.fabricated_run import fabricate

    fabricate(tmp_path, closures=("linear", "cubic"), worst="cubic")
    scores = xr.load_dataset(tmp_path / "scores.nc")
    del scores.attrs["warnings"]
    scores.to_netcdf(tmp_path / "scores.nc")
    lines = warnings_of(gather(read_run_folder(tmp_path)))
    assert "cubic: 25 % of its runs blew up." in lines
    assert any(line.startswith("linear: lost its chaos") for line in lines)


def test_curves_that_are_nowhere_finite_are_none():
    scores = xr.Dataset(
        {"mae": (("model", "lead"), [[np.nan, np.nan, np.nan], [0.0, np.nan, 2.0]])},
        {"model": ["gone", "here"], "lead": [0.0, 0.5, 1.0]},
    )
    assert curve(scores, "mae", "gone", None, "lead") is None
    assert curve(scores, "mae", "nobody", None, "lead") is None
    np.testing.assert_array_equal(curve(scores, "mae", "here", None, "lead").y, [0, np.nan, 2])


def test_labels_are_pushed_apart_and_keep_their_order():
    places = spread_apart([0.10, 0.11, 0.12, 0.90], 0.05)
    np.testing.assert_allclose(places, [0.06, 0.11, 0.16, 0.90])


def test_bin_means_leave_out_bins_with_few_samples():
    x = np.repeat([0.5, 1.5], [40, 1])
    centres, means = bin_means(x, 3.0 * x, np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(centres, [0.5, 1.5])
    np.testing.assert_allclose(means, [1.5, np.nan])


def test_a_second_training_in_one_history_is_a_second_curve():
    def record(learner, epoch, loss):
        return {"learner": learner, "epoch": epoch, "loss": loss, "validation": None,
                "measure": "1 - R2"}  # fmt: skip

    history = [record("Network", 1, 1.0), record("Network", 2, 0.5), record("Online", 1, 3.0)]
    first, second = training_curves([history])
    np.testing.assert_array_equal(first.train, [1.0, 0.5])
    np.testing.assert_array_equal(second.train, [3.0])
    assert first.measure == "1 − R²"
    assert training_curves([[{"note": "no losses"}], "junk"]) == []


def test_prices_are_ratios_of_closures_and_references_are_left_out_by_the_cast():
    prices = prices_of({"coarse": {"ratio_to_coarse": 1.0}, "cubic": {"ratio_to_coarse": 1.5}})
    assert prices[-1].name == "cubic"
    assert prices[-1].over_coarse == 1.5
    assert np.isnan(prices[-1].over_fine)
    assert prices_of(None) == ()
