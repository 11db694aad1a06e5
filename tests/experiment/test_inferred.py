"""An experiment that infers parameters: measured, inferred, scored, shown."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from closura.experiment import load_experiment, run_experiment

TINY = Path(__file__).with_name("inferred.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inferred") / "run"
    return run_experiment(TINY, folder=folder, quiet=True)


def changed(tmp_path, **sections):
    path = tmp_path / "study.yaml"
    document = yaml.safe_load(TINY.read_text())
    path.write_text(yaml.safe_dump(document | sections))
    return path


def test_the_truth_lies_in_the_interval_and_the_prior_is_narrowed(finished):
    assert all(check.passed for check in finished.checks)
    scores = finished.scores
    assert scores["calibrator"].values.tolist() == ["prior", "eki"]
    assert float(scores["contraction"].sel(calibrator="eki", parameter="rho")) < 0.5
    np.testing.assert_allclose(scores["contraction"].sel(calibrator="prior"), 1.0)


def test_the_prior_is_the_one_of_the_document(finished):
    prior = finished.scores.sel(calibrator="prior")
    assert abs(float(prior["mean"].sel(parameter="rho")) - 30.0) < 1.0
    assert 0.2 < float(prior["deviation"].sel(parameter="beta")) < 0.4


def test_the_error_of_a_twin_is_the_covariance_of_its_repeats(finished):
    with xr.open_dataset(finished.folder / "measured.nc") as found:
        np.testing.assert_allclose(found["covariance"], np.cov(found["repeat"]), rtol=1e-12)
        assert found["truth"].values.tolist() == [30.0, 2.5]


def test_draws_are_the_members_of_an_ensemble(finished):
    with xr.open_dataset(finished.folder / "eki" / "posterior.nc") as found:
        assert found["draw"].sizes == {"parameter": 2, "number": 30}
        assert found["predicted"].sizes == {"statistic": 3, "run": 20}
        assert found["member"].sizes["of_ensemble"] == 30


def test_a_finished_run_does_nothing_again(finished):
    before = (finished.folder / "scores.nc").stat().st_mtime_ns
    run_experiment(TINY, folder=finished.folder, quiet=True)
    assert (finished.folder / "scores.nc").stat().st_mtime_ns == before


def test_the_report_shows_every_figure_or_says_why_not(finished):
    page = finished.report.read_text()
    for words in ("Posteriors: every parameter", "The ridge", "what was measured",
                  "No posterior is amortised", "narrows"):  # fmt: skip
        assert words in page
    assert finished.table()[0][1:3] == ["rho", "beta"]


def test_values_of_ones_own_need_no_truth(tmp_path):
    measured = {"values": [70.0, 26.0, 720.0], "variance": [9.0, 1.0, 400.0]}
    path = changed(tmp_path, measured=measured, expect={})
    result = run_experiment(path, folder=tmp_path / "run", quiet=True)
    assert np.isnan(result.scores["covers"]).all()
    assert (result.folder / "report.html").exists()


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ({"measured": {"repeats": 9}}, "give either parameters .a twin. or values"),
        ({"measured": {"values": [1.0]}}, "give one of variance and covariance"),
        ({"measured": {"parameters": {"rho": 30.0}}}, "prior has 'beta' and the other has not"),
        ({"prior": {"rho": {"type": "Unifrom"}}}, "no 'Unifrom' among the priors; did you mean"),
        ({"calibrators": {"prior": {"type": "EKI"}}}, "'prior' is taken"),
        ({"expect": {"eki.covrs.rho": {"above": 0}}}, "'covrs', which is no score; did you mean"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(tmp_path, sections, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_experiment(changed(tmp_path, **sections))
