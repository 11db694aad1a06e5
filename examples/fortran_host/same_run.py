"""The run of the Fortran host, made in Python with the same model and the same closure.

python same_run.py prepare RUN LEARNER FOLDER [--steps 100]    namelists, first state, reference
python same_run.py compare FOLDER                               how far the host is from Python
"""

import argparse
import os
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import yaml

import closura as cl
from closura.export.cases import in_double

jax.config.update("jax_enable_x64", True)

FIELDS = ("u", "v", "elevation")
OCEAN = ("nx", "ny", "spacing", "depth", "gravity", "coriolis", "wind_stress", "wind_waves")
ALLOWED = 1e-12  # largest difference over a field's largest value after 100 steps


def prepare(run: Path, learner: str, folder: Path, steps: int) -> None:
    """Write what the host reads, and where the hybrid model is after so many steps."""
    said = dict(yaml.safe_load((run / "experiment.yaml").read_text())["coarse"])
    said.pop("type")
    model, closure = cl.ShallowWater(**said), cl.load_closure(run / learner)
    last = cl.open_run(run / "test.zarr").isel(member=0, time=-1)
    state = [np.asarray(last[name].values, float) for name in FIELDS]
    write_restart(folder / "start.restart", state)
    shipped = os.path.relpath(run / learner / "fortran" / f"{learner}.closura", folder)
    half = steps // 2
    for name, start, count in (
        ("one", "start", steps), ("two", "start", steps), ("first", "start", half),
        ("second", "first", steps - half),
    ):  # fmt: skip
        text = namelist(model, shipped, start, name, count)
        (folder / f"{name}.nml").write_text(text)
    (folder / "reference.npz").unlink(missing_ok=True)
    if closure.random:
        return  # Python draws other numbers
    hybrid = cl.couple(model, in_double(closure))
    start = type(model.initial_state(jax.random.key(0)))(*map(jnp.asarray, state))
    _, after = cl.rollout(hybrid, hybrid.start(start), steps)
    _, without = cl.rollout(model, model.start(start), steps)
    found = {name: np.asarray(getattr(after.state, name)) for name in FIELDS}
    alone = {f"{name}_alone": np.asarray(getattr(without.state, name)) for name in FIELDS}
    np.savez(folder / "reference.npz", steps=steps, **found, **alone)


def namelist(model: cl.ShallowWater, closure: str, start: str, name: str, steps: int) -> str:
    """Return the text of one namelist file."""
    values = {key: getattr(model, key) for key in OCEAN}
    lines = [f"  {key} = {value!r}" for key, value in values.items()]
    run = {"dt": model.dt, "steps": steps, "report_every": 25, "seed": 7, "closure": closure,
           "restart_in": f"{start}.restart", "restart_out": f"{name}.restart"}  # fmt: skip
    return "\n".join(["&ocean", *lines, "/", "&run", *(f"  {k} = {v!r}" for k, v in run.items()),
                      "/", ""])  # fmt: skip


def write_restart(path: Path, state: list[np.ndarray], step: int = 0) -> None:
    """Write a restart file without a memory, as `restart.f90` reads it."""
    ny, nx = state[0].shape
    head = b"SHALLOW1" + np.array([nx, ny, step, 0], "<i4").tobytes()
    path.write_bytes(head + b"".join(field.astype("<f8").tobytes() for field in state))


def read_restart(path: Path) -> dict[str, np.ndarray]:
    """Return the fields of a restart file, (y, x)."""
    content = path.read_bytes()
    nx, ny, _, rows = np.frombuffer(content, "<i4", 4, offset=8)
    values = np.frombuffer(content, "<f8", offset=24).reshape(3 + rows, ny, nx)
    return dict(zip(FIELDS, values, strict=False))


def compare(folder: Path) -> None:
    """Print the largest differences; leave with 1 where they are too large."""
    if not (folder / "reference.npz").is_file():
        print("the closure draws random numbers, and Python draws others: nothing to compare")
        return
    wanted, found = np.load(folder / "reference.npz"), read_restart(folder / "one.restart")
    steps, worst = int(wanted["steps"]), 0.0
    for name in FIELDS:
        scale = np.abs(wanted[name]).max()
        apart = np.abs(found[name] - wanted[name]).max() / scale
        closure = np.abs(wanted[f"{name}_alone"] - wanted[name]).max() / scale
        worst = max(worst, apart if np.isfinite(apart) else np.inf)
        print(f"{name:<10} Fortran and Python differ by {apart:.1e} after {steps} steps "
              f"(the closure makes a difference of {closure:.1e})")  # fmt: skip
    print(f"largest {worst:.1e}, allowed {ALLOWED:.0e}: {'ok' if worst <= ALLOWED else 'FAILED'}")
    if worst > ALLOWED:
        sys.exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    first, second = verbs.add_parser("prepare"), verbs.add_parser("compare")
    first.add_argument("run", type=Path)
    first.add_argument("learner")
    first.add_argument("folder", type=Path)
    first.add_argument("--steps", type=int, default=100)
    second.add_argument("folder", type=Path)
    said = parser.parse_args()
    if said.verb == "prepare":
        prepare(said.run, said.learner, said.folder, said.steps)
    else:
        compare(said.folder)
