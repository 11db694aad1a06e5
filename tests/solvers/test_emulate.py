"""The emulator says what it knows, and its posterior is that of the simulator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.solvers.emulate import Emulator, _judge
from closura.solvers.gaussian_process import fit_process
from closura.solvers.tempering import temper

MIX = np.array([[1.0, 0.5], [0.0, 1.0], [0.7, -0.2]])
ERROR = np.diag([0.3, 0.5, 0.4]) + 0.1


def linear(parameters, key):
    return MIX @ jnp.stack([parameters["a"], parameters["b"]])


def closed_form(values, covariance):
    """Mean and covariance of the posterior of standard normals (a, b / 2) given the values."""
    gain = MIX * [1.0, 2.0]
    precision = np.linalg.inv(covariance)
    posterior = np.linalg.inv(np.eye(2) + gain.T @ precision @ gain)
    return posterior @ gain.T @ precision @ values, posterior


PRIOR = cl.Prior(a=cl.Normal(0.0, 1.0), b=cl.Normal(0.0, 2.0))
VALUES = np.array([0.8, -0.4, 1.1])


class Bowl(cl.AbstractCalibrator):
    """A calibrator that has tried a few members, one of which failed."""

    def solve(self, problem, *, key):
        positions = problem.prior.draw(12, key=key)
        predictions = problem.predict(positions, key).at[:, 3].set(999.0)
        history = {
            "positions": jnp.stack([positions, positions / 2]),
            "predictions": jnp.stack([predictions, problem.predict(positions / 2, key)]),
            "failed": jnp.array([1, 0]),
        }
        return cl.Ensemble(problem.prior, positions, history)


@pytest.mark.slow
def test_the_posterior_of_a_linear_simulator_is_the_closed_form():
    problem = cl.Problem(PRIOR, linear, cl.Measurement(VALUES, ERROR))
    solver = cl.CES(calibrator=Bowl(), draws=40, rounds=1, refinement=20, members=600)
    found = solver.solve(problem, key=jax.random.key(0))
    mean, covariance = closed_form(VALUES, ERROR)
    spread = np.sqrt(np.diag(covariance))
    # 600 independent members: mean within 3 / sqrt(600) = 0.12 deviations, deviation within 9 %.
    assert (abs(np.asarray(found.members.mean(axis=1)) - mean) < 0.15 * spread).all()
    assert np.allclose(found.members.std(axis=1), spread, rtol=0.12)
    assert found.history["score"].shape == (2, 3)
    # All simulations are kept; where a member failed they are simulated anew.
    history = found.history
    assert history["positions"].shape == (2, 40 + 24 + 20)
    assert np.allclose(
        history["predictions"], MIX @ (np.array([[1.0], [2.0]]) * history["positions"])
    )
    assert history["explained"][-1, -1] > 0.999


def test_a_process_predicts_a_smooth_function_and_says_how_well():
    points = jax.random.uniform(jax.random.key(0), (2, 90), minval=-2, maxval=2)
    at = jax.random.uniform(jax.random.key(1), (2, 50), minval=-1.8, maxval=1.8)

    def function(x):
        return jnp.stack([jnp.sin(x[0]) * x[1], x[0] + 0.3])

    noise = 0.1 * jax.random.normal(jax.random.key(2), (2, 90))
    process = fit_process(points, function(points) + noise)
    mean, variance = process.predict(at)
    errors = (mean - function(at)) ** 2
    assert errors.mean() < 0.05**2
    assert 0.3 < float((errors[0] / (variance[0] + 1e-9)).mean()) < 3.0
    assert np.allclose(np.sqrt(process.noise), 0.1, rtol=0.3)
    # Left out one by one, its errors have the size that it says.
    assert np.allclose((process.left_out**2).mean(axis=1), 1.0, atol=0.35)


def test_errors_left_out_are_those_of_a_process_without_the_point():
    points = jax.random.normal(jax.random.key(0), (1, 30))
    outputs = jnp.sin(2 * points) + 0.1 * jax.random.normal(jax.random.key(1), (1, 30))
    process = fit_process(points, outputs)
    kernel = jax.tree.map(lambda a: a[0], process.kernel)
    anomalies = (outputs - process.slopes @ jnp.stack([jnp.ones(30), points[0]]))[0]
    rest = points[:, 1:]
    diagonal = jnp.exp(2 * kernel.noise) + 1e-8 * jnp.exp(2 * kernel.size)
    inverse = jnp.linalg.inv(kernel.between(rest, rest) + diagonal * jnp.eye(29))
    near = kernel.between(rest, points[:, :1])[:, 0]
    error = anomalies[0] - near @ inverse @ anomalies[1:]
    claimed = jnp.sqrt(jnp.exp(2 * kernel.size) + diagonal - near @ inverse @ near)
    assert np.isclose(process.left_out[0, 0], error / claimed, rtol=1e-6)


def test_randomness_of_the_simulator_widens_the_posterior_unless_it_is_counted_already():
    points = jax.random.normal(jax.random.key(0), (2, 120))
    noise = 2.0 * jax.random.normal(jax.random.key(1), (3, 120))
    measurement = cl.Measurement(VALUES, np.ones(3))
    outputs = jnp.asarray(MIX) @ points + noise
    wide, narrow = (
        Emulator.fit(measurement, points, outputs, noise=counted) for counted in (True, False)
    )
    along = jnp.stack([jnp.linspace(-2, 2, 41), jnp.zeros(41)])
    curvature = [jnp.diff(log(along), n=2).mean() for log in (narrow, wide)]
    # Error variances 1 and 1 + 4: five times the curvature, within what 120 points tell.
    assert 3.0 < curvature[0] / curvature[1] < 8.0


def test_members_find_both_modes_of_a_likelihood():
    def peaks(x):
        return jnp.logaddexp(*(-0.5 * ((x[0] - m) / 0.05) ** 2 for m in (-1.0, 1.0)))

    start = jax.random.normal(jax.random.key(0), (1, 1500))
    found = temper(peaks, start, moves=6, key=jax.random.key(1))
    right = float((found.members[0] > 0).mean())
    assert abs(right - 0.5) < 0.1
    assert np.isclose(found.members[0][found.members[0] > 0].std(), 0.05, rtol=0.15)
    assert found.exponents[-1] == 1.0 and np.all(np.diff(found.exponents) > 0)


def test_an_emulator_that_is_too_sure_of_itself_is_refused():
    with pytest.raises(ValueError) as caught:
        _judge({"score": np.array([1.0, 5.04, 0.3])}, 60)
    assert str(caught.value) == (
        "CES: at points held out the emulator of 60 simulations errs by 5.0 times the variance "
        "that it claims; add draws, or statistics that change more smoothly."
    )
    with pytest.warns(cl.ClosuraWarning, match="2.5 times the variance that it claims: the post"):
        _judge({"score": np.array([1.0, 2.5])}, 60)


def test_a_calibrator_that_keeps_no_points_is_refused():
    class Silent(cl.AbstractCalibrator):
        def solve(self, problem, *, key):
            return cl.Ensemble(problem.prior, problem.prior.draw(3, key=key))

    problem = cl.Problem(PRIOR, linear, cl.Measurement(VALUES, ERROR))
    with pytest.raises(ValueError) as caught:
        cl.CES(calibrator=Silent()).solve(problem, key=jax.random.key(0))
    assert str(caught.value) == (
        "CES: Silent notes nothing; wanted are positions and predictions. Take EKI, or "
        "calibrator=None."
    )


@pytest.mark.parametrize("settings", [{"draws": 5}, {"rounds": -1}, {"held_out": 0.0}])
def test_settings_that_cannot_be_are_refused(settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"CES: {name} is {value}; it"):
        cl.CES(**settings)
