"""An experiment that infers parameters: measured, inferred, scored, shown."""

from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import yaml

import closura as cl
from closura.core.calibrate import AbstractSimulator
from closura.data.inferences import case_record
from closura.experiment import load_experiment, run_experiment
from closura.experiment.kinds import inferred_stages
from closura.experiment.plan import plan
from closura.experiment.work import Work, write_dataset

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


def test_calibrators_are_timed_and_so_run_alone(tmp_path):
    steps = plan(Work(load_experiment(TINY), tmp_path))
    timed = [step.name for step in steps if step.alone]
    assert timed == [step.name for step in steps if step.stage == "infer"] != []


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


def test_the_error_of_a_twin_is_the_covariance_of_the_difference_of_two_runs(finished):
    with xr.open_dataset(finished.folder / "measured.nc") as found:
        np.testing.assert_allclose(found["covariance"], 2 * np.cov(found["repeat"]), rtol=1e-12)
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


def test_a_missing_value_has_no_say_and_the_report_leaves_it_out(tmp_path):
    measured = {"values": [70.0, float("nan"), 720.0], "variance": [9.0, 1.0, 400.0]}
    path = changed(tmp_path, measured=measured, expect={})
    result = run_experiment(path, folder=tmp_path / "run", quiet=True)
    with xr.open_dataset(result.folder / "measured.nc") as found:
        assert found["variance"].values.tolist() == [9.0, 1.0, 400.0]
        value = found["value"].values
    with xr.open_dataset(result.folder / "eki" / "posterior.nc") as found:
        first, third = ((found["predicted"].values - value[:, None]) ** 2)[[0, 2]]
    wanted = np.mean([first / 9.0, third / 400.0])
    misfit = result.scores["predictive_misfit"].sel(calibrator="eki")
    np.testing.assert_allclose(misfit, wanted)
    assert "simulated under the true parameters" in result.report.read_text()


@pytest.mark.parametrize(
    ("measured", "complaint"),
    [
        ({"parameters": {"rho": 99.0, "beta": 2.5}, "repeats": 40},
         "rho is 99.0, and its prior, Uniform, holds what lies between 24.0 and 36.0"),
        ({"parameters": {"rho": 30.0, "beta": 2.5}, "repeats": 3},
         "measured.repeats is 3 and the simulator has 3 statistics"),
    ],
)  # fmt: skip
def test_a_twin_that_cannot_be_measured_is_one_clear_line(tmp_path, measured, complaint):
    with pytest.raises(ValueError, match=complaint):
        run_experiment(changed(tmp_path, measured=measured), folder=tmp_path / "run", quiet=True)


class Program(AbstractSimulator):
    """A simulator that JAX cannot see into, as a plug-in may register one."""

    on_host: ClassVar[bool] = True

    def __call__(self, parameters, key):
        return jnp.asarray([1.0, 2.0, 3.0])

    def simulate_members(self, parameters, key):
        noise = np.asarray(jax.random.normal(key, (3, parameters["rho"].size)))
        return jnp.asarray(np.asarray(parameters["rho"]) + noise)


def test_a_simulator_on_the_host_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(inferred_stages, "simulator_of", lambda settings: Program())
    path = changed(tmp_path, expect={}, report={})
    result = run_experiment(path, folder=tmp_path / "run", until="score", quiet=True)
    rho = result.scores.sel(calibrator="eki", parameter="rho")
    assert abs(float(rho["mean"]) - 30.0) < 3.0


class Truthful(eqx.Module):
    """The exact posterior of a straight line under normal errors of variance 0.25."""

    def draw_each(self, values, count, *, key):
        spread = (0.25 / 1.25) ** 0.5  # prior N(0, 1), one statistic equal to the position
        normal = jax.random.normal(key, (1, count, values.shape[1]))
        return values[:, None] / 1.25 + spread * normal


def test_cases_have_the_errors_that_a_calibrator_adds(tmp_path):
    work = Work(load_experiment(TINY), tmp_path)
    prior = cl.Prior(a=cl.Normal(0.0, 1.0))
    position = prior.draw(400, key=jax.random.key(3))
    write_dataset(case_record(prior, position, np.asarray(position)), tmp_path / "cases.nc")
    measured = cl.Measurement([0.3], [0.25])
    inside = {
        added: float((abs(
            inferred_stages._ranks(work, Truthful(), measured, "npe", adds_errors=added) - 0.5
        ) < 0.45).mean())
        for added in (True, False)
    }  # fmt: skip
    # 0.9 ± 0.015 of 400; without errors the mean departs only by 0.2 of the truth: 0.9997.
    assert 0.855 < inside[True] < 0.945 and inside[False] > 0.99


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
