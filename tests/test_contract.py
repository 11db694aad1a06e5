"""The lines of the first issue run as they are written there: the contract with the user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Copied from the issue, character by character.
LINES = """\
import closura as cl, jax
truth  = cl.Lorenz96TwoScale(K=8, J=32, F=20.0, h=1.0, b=10.0, c=10.0, dt=0.001)
coarse = cl.Lorenz96(K=8, F=20.0, dt=0.005)
state  = truth.initial_state(key=jax.random.key(0))                      # state.X (8,), state.Y (256,)
tendency = truth.tendency(state)                                          # same fields
states, last = cl.rollout(truth, truth.start(state), steps=1000, every=5) # states.X (200, 8); last is a Snapshot
run    = cl.simulate(truth, duration=200.0, spinup=20.0, every=0.005, members=4, key=jax.random.key(1))   # xarray.Dataset
pairs  = cl.diagnose(run, truth=truth, coarse=coarse, target="difference")
cubic  = cl.Polynomial(degree=3).fit(pairs, key=jax.random.key(2))        # cubic.coefficients, ascending
fixed  = cl.PolynomialClosure(coefficients=(-0.341, -1.30, 0.0136, 0.00235))  # tendency to add = polynomial in X
noisy  = cl.WithNoise(cl.Polynomial(degree=3), cl.AR1()).fit(pairs, key=jax.random.key(3))
forest = cl.Forest(trees=50, features=cl.Stencil(radius=2)).fit(pairs, key=jax.random.key(4))
net    = cl.Network(features=cl.Stencil(radius=2), width=32).fit(pairs, key=jax.random.key(5))
tuned  = cl.Online(start=net, model=coarse, window=128).fit(pairs, key=jax.random.key(6))   # through the differentiable rollout; pairs know their time order
hybrid = cl.couple(coarse, net)
scores = cl.evaluate(hybrid, truth=run, baselines={"no closure": coarse}, key=jax.random.key(7))   # xarray.Dataset, prints as a table
"""  # noqa: E501

# What the lines promise, checked in the process that ran them: in JAX's default precision.
CHECKS = """
import sys
assert (state.X.shape, state.Y.shape) == ((8,), (256,))
assert tendency._fields == state._fields and tendency.Y.shape == (256,)
assert states.X.shape == (200, 8) and isinstance(last, cl.Snapshot) and int(last.step) == 1000
assert isinstance(run, xr.Dataset) and dict(run.sizes) == dict(member=4, time=40000, k=8, kj=256)
assert isinstance(pairs, cl.Pairs) and len(pairs) == 4 * 39999
assert any("does not match the integrator" in line for line in pairs.warnings)
assert cubic.coefficients.shape == (4,) == fixed.coefficients.shape
# Arnold et al. (2013), table 1, with the sign of a tendency to add; spread of runs this long.
assert abs(float(cubic.coefficients[1]) + 1.30) < 0.03, cubic
assert abs(float(cubic.coefficients[3]) - 0.00235) < 0.0003, cubic
X = jax.numpy.linspace(-5.0, 10.0, 8)
ours, published = (c.tendency(type(state)(X, state.Y))["X"] for c in (cubic, fixed))
assert float(jax.numpy.max(abs(ours - published))) < 0.3
assert isinstance(noisy, cl.Sum) and 0.98 < float(noisy.terms[1].phi["X"]) < 0.99
for closure in (forest, net, tuned):
    assert isinstance(closure, cl.AbstractClosure)
    assert closure.tendency(state)["X"].shape == (8,)
assert isinstance(hybrid, cl.AbstractModel)
caught_at = {entry.lineno for entry in caught if entry.category is cl.ClosuraWarning}
assert 15 in caught_at, f"line 15 couples and should warn; warnings came from lines {caught_at}"
assert isinstance(scores, xr.Dataset)
shown = str(scores)
assert "no closure" in shown and "noise floor" in shown and "hybrid" in shown, shown
error = scores["forecast_mae_first_unit"].sel(variable="X")
assert float(error.sel(model="hybrid")) < float(error.sel(model="no closure")) / 4
print("the contract holds")
"""


@pytest.mark.slow
def test_the_lines_of_the_issue_run_as_written(tmp_path):
    script = tmp_path / "contract.py"
    (tmp_path / "lines.py").write_text(LINES)
    script.write_text(
        "import warnings\nimport xarray as xr\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    exec(compile(open('lines.py').read(), 'lines.py', 'exec'))\n" + CHECKS
    )
    environment = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("the contract holds")
