"""An interrupted run goes on as if nothing had happened, bit for bit."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.core.progress import listen
from closura.core.rollout import member_keys, start_members
from closura.data import plan as plans
from closura.data.store import load_snapshot, open_run, partial_folder, save_snapshot

NOISE = cl.AR1Noise({"X": 0.9}, {"X": jnp.asarray(0.7)})
CUBIC = cl.PolynomialClosure([0.3, -1.1, 0.01, 0.002])
PLAIN = cl.Lorenz96(K=7, dt=0.01)
HYBRID = cl.couple(
    cl.couple(cl.Lorenz96(K=7, dt=0.01, stepper="ab3"), CUBIC + NOISE), NOISE, every=3
)
ANCHORED = cl.Anchored(CUBIC, 0.7, averaging=0.3, mean={"X": jnp.linspace(-1.0, 1.0, 7)})
MODELS = {
    "plain": PLAIN,
    "hybrid with noise, ab3": HYBRID,
    "memory in a guard": cl.couple(PLAIN, ANCHORED, every=2),
    "two scales": cl.Lorenz96TwoScale(K=5, J=3),
}


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("members", [False, True])
def test_rollout_goes_on_through_a_restart_file(model, members, key, tmp_path):
    if members:
        key = member_keys(key, 3)
        start = start_members(model, key)
    else:
        start = model.start(model.initial_state(key), key)
    whole, end = cl.rollout(model, start, 13, key=key, members=members)
    first, middle = cl.rollout(model, start, 6, key=key, members=members)
    save_snapshot(tmp_path / "restart.npz", middle)
    again = load_snapshot(tmp_path / "restart.npz")
    second, last = cl.rollout(model, again, 7, key=key, members=members)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    for one, other in zip(
        jax.tree.leaves((joined, last)), jax.tree.leaves((whole, end)), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def run(model, path=None, **change) -> xr.Dataset:
    arguments = {"duration": 0.66, "spinup": 0.25, "every": 0.03, "members": 3, "chunk": 4}
    return cl.simulate(model, **(arguments | {"key": jax.random.key(1)} | change), path=path)


def interrupt(model, path, reports: int, **change) -> None:
    """Run until a number of reports were made, then fail as if the computer had stopped."""
    heard = []

    def listener(event, values):
        heard.append(values)
        if len(heard) == reports:
            raise Interrupted

    with pytest.raises(Interrupted), listen(listener):
        run(model, path, **change)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("reports", [1, 4, 6])
def test_interrupted_simulation_goes_on_bit_for_bit(model, reports, tmp_path):
    path = tmp_path / "run.zarr"
    interrupt(model, path, reports)
    assert not path.exists()
    heard = []
    with listen(lambda event, values: heard.append(values["done"])):
        found = run(model, path)
    assert len(heard) == 9 - reports if reports > 3 else len(heard) < 9  # it did not begin again
    xr.testing.assert_identical(found.load(), run(model))
    assert not partial_folder(path).exists()


def test_run_may_be_interrupted_again_and_in_other_chunks(tmp_path, monkeypatch):
    path = tmp_path / "run.zarr"
    interrupt(HYBRID, path, 4)
    monkeypatch.setattr(plans, "GROUP_NUMBERS", 7)  # as another version of the package might
    interrupt(HYBRID, path, 1, chunk=9)
    found = run(HYBRID, path, chunk=5, threads=1)
    monkeypatch.undo()
    xr.testing.assert_identical(found.load(), run(HYBRID))


def test_finished_run_is_opened_and_not_computed(tmp_path):
    path = tmp_path / "run.zarr"
    first = run(PLAIN, path).load()
    heard = []
    with listen(lambda event, values: heard.append(event)):
        second = run(PLAIN, path, chunk=2, threads=1)
    assert heard == []
    xr.testing.assert_identical(second.load(), first)


@pytest.mark.parametrize(
    ("model", "change", "reason"),
    [
        (PLAIN, {"key": jax.random.key(2)}, r"key is \[0, 1\], not \[0, 2\]"),
        (PLAIN, {"duration": 0.69}, r"duration is 0\.66, not 0\.69"),
        (PLAIN, {"spinup": 0.0}, r"spinup is 0\.25, not 0\.0"),
        (PLAIN, {"tendencies": ("X",)}, "another setting"),
        (cl.Lorenz96(K=7, dt=0.01, F=9.0), {}, "another setting"),
        (cl.couple(PLAIN, CUBIC), {}, r"model is Lorenz96, not Lorenz96 \+ PolynomialClosure"),
        (PLAIN, {"state": PLAIN.initial_state(jax.random.key(0))}, "another setting"),
    ],
)
def test_another_run_is_never_taken_for_this_one(model, change, reason, tmp_path):
    run(PLAIN, tmp_path / "whole.zarr")
    interrupt(PLAIN, tmp_path / "half.zarr", 4)
    for name, folder in (("whole.zarr", "whole.zarr"), ("half.zarr", ".half.zarr.partial")):
        with pytest.raises(ValueError, match=reason) as caught:
            run(model, tmp_path / name, **change)
        assert f"{folder} holds another run" in str(caught.value)
        assert str(caught.value).endswith("Delete it, or choose another path.")


def test_other_numbers_in_a_closure_are_another_run(tmp_path):
    run(cl.couple(PLAIN, CUBIC), tmp_path / "run.zarr")
    changed = cl.PolynomialClosure([0.3, -1.1, 0.01, np.nextafter(0.002, 1)])
    with pytest.raises(ValueError, match="holds another run"):
        run(cl.couple(PLAIN, changed), tmp_path / "run.zarr")


def test_what_is_left_beside_a_finished_run_does_no_harm(tmp_path):
    path, left = tmp_path / "run.zarr", tmp_path / "left"
    interrupt(PLAIN, path, 9)  # all is computed, the store has not got its name
    shutil.copytree(partial_folder(path), left)
    first = run(PLAIN, path).load()
    shutil.rmtree(left / "data")  # as if stopped between the renaming and the cleaning
    shutil.move(left, partial_folder(path))
    shutil.rmtree(path)
    xr.testing.assert_identical(run(PLAIN, path).load(), first)


def test_damaged_restart_file_is_one_line(tmp_path):
    path = tmp_path / "run.zarr"
    interrupt(PLAIN, path, 4)
    (partial_folder(path) / "restart.npz").write_bytes(b"PK half")
    with pytest.raises(ValueError, match=r"restart\.npz is damaged .*Delete it and start again"):
        run(PLAIN, path)


KILLED = """
import sys, jax
jax.config.update("jax_enable_x64", True)
import closura as cl
noise = cl.AR1Noise({"X": 0.9}, {"X": 0.7})
model = cl.couple(cl.Lorenz96(K=7, dt=0.01, stepper="ab3"), noise)
cl.simulate(model, duration=float(sys.argv[2]), every=0.02, spinup=0.1, members=3, chunk=20,
            key=jax.random.key(1), path=sys.argv[1])
"""


def test_killed_process_loses_nothing(tmp_path):
    path, duration = tmp_path / "run.zarr", 40.0
    source = str(Path(cl.__file__).parents[1])
    command = [sys.executable, "-c", KILLED, str(path), str(duration)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": source})
    restart = partial_folder(path) / "restart.npz"
    limit = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < limit:
        if restart.exists() and load_snapshot(restart)["steps"] > 200:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert not path.exists()
    noise = cl.AR1Noise({"X": 0.9}, {"X": 0.7})
    model = cl.couple(cl.Lorenz96(K=7, dt=0.01, stepper="ab3"), noise)
    arguments = {"duration": duration, "every": 0.02, "spinup": 0.1, "members": 3, "chunk": 20,
                 "key": jax.random.key(1)}  # fmt: skip
    heard = []
    with listen(lambda event, values: heard.append(event)):
        found = cl.simulate(model, **arguments, path=path)
    assert 0 < len(heard) < 200
    xr.testing.assert_identical(found.load(), cl.simulate(model, **arguments))
    assert open_run(path).attrs["run"] == found.attrs["run"]
