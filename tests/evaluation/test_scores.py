"""The table that scores print."""

import json

import numpy as np
import pytest
import xarray as xr

from closura.evaluation.scores import Scores

NUMBERS = {
    "forecast_mae_first_unit": [0.4321, 3.061, np.nan, 0.2],
    "forecast_mae_first_unit_lower": [0.40, 3.0, np.nan, 0.18],
    "forecast_mae_first_unit_upper": [0.46, 3.12, np.nan, 0.22],
    "useful_lead": [2.47, 0.68, np.nan, np.inf],
    "wasserstein_1": [0.0321, 1.82, np.nan, 0.0104],
    "hellinger": [0.000524, 0.086, np.nan, 0.0001],
    "kolmogorov_smirnov": [0.00714, 0.13, np.nan, 0.002],
}


@pytest.fixture
def scores():
    found = {name: (("model", "variable"), np.array([v]).T) for name, v in NUMBERS.items()}
    found["lyapunov"] = ("model", [-0.012, 3.75, np.nan, np.nan])
    found["blown_up_share"] = ("model", [0.0, 0.0, 0.25, 0.0])
    found["extrapolated_share"] = ("model", [0.031, np.nan, 0.0, np.nan])
    found["lost_chaos"] = ("model", [True, False, False, False])
    found["drifts"] = (("model", "variable"), [[False], [True], [False], [False]])
    names = ["network", "no closure", "a bomb with a very long name", "noise floor"]
    protocol = {"forecasts": 100, "lead": 3.0, "climate": 500.0, "level": 0.9}
    lines = ["a bomb: blows up", *(f"line {number}" for number in range(7))]
    return Scores(
        found,
        {"model": names, "variable": ["X"], "lead": [0.0, 1.5, 3.0]},
        {"warnings": json.dumps(lines), "protocol": json.dumps(protocol)},
    )


TABLE = """\
Scores of X: 100 forecasts of 3 time units, climate of 500
model                     MAE 0-1 (90%)  useful lead      W1  Hellinger       KS  Lyapunov  flags
network                    0.432 ± 0.03         2.47  0.0321   0.000524  0.00714   -0.0120  lost chaos, extrapolates 3%
no closure                  3.06 ± 0.06        0.680    1.82     0.0860    0.130      3.75  drifts
a bomb with a very long…              -            -       -          -        -         -  blows up (25%)
noise floor                0.200 ± 0.02          > 3  0.0104   0.000100  0.00200         -
! a bomb: blows up
! line 0
! line 1
! line 2
! line 3
! line 4
! and 2 more in .warnings"""  # noqa: E501


def test_scores_print_as_a_table(scores):
    assert repr(scores) == TABLE


def test_html_holds_the_table_and_the_warnings(scores):
    page = scores._repr_html_()
    assert "<td>0.432 ± 0.03</td>" in page
    assert page.count("<li>") == 8


def test_a_part_of_the_scores_prints_as_a_dataset(scores):
    assert "Dimensions" in repr(scores[["hellinger"]])
    assert "Dimensions" in repr(scores.isel(model=0))


def test_scores_are_a_dataset(scores):
    assert isinstance(scores, xr.Dataset)
    assert float(scores["hellinger"].sel(model="no closure", variable="X")) == 0.086


def test_scores_of_a_dataset_are_equal_to_it(scores):
    plain = xr.Dataset(scores.data_vars, scores.coords, scores.attrs)
    assert Scores(plain).identical(scores)
