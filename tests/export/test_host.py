"""The MPI example in Fortran: the run that Python makes, on any ranks, threads and restarts."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import closura as cl
from closura.experiment.shipping import export_run
from closura.export.container import write_container
from closura.export.reading import read_container

HOST = Path(__file__).parents[2] / "examples" / "fortran_host"
STRICT = "-std=f2008 -Wall -Wextra -Werror -O1 -g -fcheck=all -ffp-contract=off -fopenmp"
MPIRUN = ("mpirun", "--allow-run-as-root", "--oversubscribe")
SAID = "host: changed.closura: closura: "
SMALL = [
    "truth.nx=12", "truth.ny=7", "coarse.nx=12", "coarse.ny=7", "data.members=2",
    "data.spinup=86400", "data.duration=12000", "learners.network.epochs=1",
    "learners.network.width=9", "evaluate.climate=96000", "evaluate.lead=12000",
    "evaluate.every=1200", "evaluate.forecasts=4",
]  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A small run of the bundled experiment, learned and shipped."""
    for program in ("mpif90", "mpirun", "make"):
        if shutil.which(program) is None:
            pytest.skip(
                f"{program} is not installed: apt-get install libopenmpi-dev openmpi-bin make"
            )
    folder = tmp_path_factory.mktemp("host") / "run"
    cl.run_experiment("shallow_water", overrides=SMALL, until="learn", folder=folder)
    export_run(folder)
    return folder


def make(run: Path, learner: str, **settings: str) -> subprocess.CompletedProcess[str]:
    said = {
        "RUN": run,
        "LEARNER": learner,
        "WORK": work(run, learner),
        "FFLAGS": STRICT,
        "PYTHON": sys.executable,
        **settings,
    }
    command = [
        "make",
        "-C",
        str(HOST),
        "test",
        *(f"{name}={value}" for name, value in said.items()),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=threads(1))


def work(run: Path, learner: str) -> Path:
    return run / "work" / learner


def threads(count: int) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": str(count)}


def host(folder: Path, namelist: str, ranks: int = 1, count: int = 1):
    command = [*MPIRUN, "-np", str(ranks), "./host", namelist]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=threads(count)
    )


@pytest.fixture(scope="module")
def made(run):
    done = make(run, "network")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_host_runs_as_python_does(made):
    lines = made.splitlines()
    assert "one and two ranks: the same bits" in lines
    assert "across a restart: the same bits" in lines
    assert [line.split()[0] for line in lines if "differ by" in line] == ["u", "v", "elevation"]
    last = next(line for line in lines if line.startswith("largest "))
    assert last.endswith("allowed 1e-12: ok")
    assert float(last.split()[1].rstrip(",")) > 0  # two programs: rounding differs


def test_the_closure_matters_in_that_run(made):
    changed = [
        float(line.split()[-1].rstrip(")")) for line in made.splitlines() if "differ by" in line
    ]
    assert min(changed) > 1e-4


@pytest.mark.parametrize(("ranks", "count"), [(3, 1), (1, 2), (2, 2)])
def test_ranks_and_threads_make_no_difference(run, made, ranks, count):
    folder = work(run, "network")
    wanted = (folder / "one.restart").read_bytes()
    done = host(folder, "two.nml", ranks, count)
    assert done.returncode == 0, done.stderr
    assert (folder / "two.restart").read_bytes() == wanted


def test_a_closure_that_remembers_goes_on_from_its_restart(run):
    done = make(run, "linear_ar1", STEPS="30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "one and two ranks: the same bits" in done.stdout
    assert "across a restart: the same bits" in done.stdout
    assert "the closure draws random numbers" in done.stdout
    content = (work(run, "linear_ar1") / "one.restart").read_bytes()
    nx, ny, step, rows = np.frombuffer(content, "<i4", 4, offset=8)
    assert (nx, ny, step, rows) == (12, 7, 30, 3)
    memory = np.frombuffer(content, "<f8", offset=24).reshape(6, 7, 12)[3:]
    held = read_container(run / "linear_ar1" / "fortran" / "linear_ar1.closura")
    noise = next(one for one in held.operations if hasattr(one, "sigma"))
    # 84 numbers of N(0, sigma^2), in rows that are no copies of each other.
    assert memory[0].std() == pytest.approx(noise.sigma[0], rel=0.4)
    assert len(np.unique(memory)) == memory.size


def refused(run: Path, name: str, **changes) -> str:
    """Return what the host says of a file with other columns."""
    folder = work(run, "network")
    shipped = run / "network" / "fortran" / "network.closura"
    held = read_container(shipped)
    write_container(folder / "changed.closura", replace(held, **changes))
    text = (folder / "one.nml").read_text()
    line = next(line for line in text.splitlines() if " closure = " in line)
    (folder / f"{name}.nml").write_text(text.replace(line, "  closure = 'changed.closura'"))
    done = host(folder, f"{name}.nml")
    assert done.returncode != 0
    return next(line for line in done.stderr.splitlines() if line.startswith("host: "))


def test_a_closure_in_other_units_is_refused(run, made):
    held = read_container(run / "network" / "fortran" / "network.closura")
    inputs = list(held.inputs)
    inputs[2] = replace(inputs[2], units="km h-1")
    assert refused(run, "units", inputs=tuple(inputs)) == (
        f"{SAID}input 3 has other units, wanted 'km h-1'; convert it first."
    )
    outputs = (held.outputs[0], replace(held.outputs[1], units="m s-1 day-1"), held.outputs[2])
    assert refused(run, "rates", outputs=outputs) == (
        f"{SAID}output 2 has other units, wanted 'm s-1 day-1'; convert it."
    )


def test_a_closure_of_another_order_is_refused(run, made):
    held = read_container(run / "network" / "fortran" / "network.closura")
    inputs = (held.inputs[1], held.inputs[0], *held.inputs[2:])
    assert refused(run, "order", inputs=inputs).startswith(
        f"{SAID}the name of input 1 is another, wanted 'u(-1,0)'"
    )


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("nx = 12", "nx = 13", "start.restart holds another grid"),
        ("restart_in = 'start.restart'", "restart_in = 'one.nml'", "one.nml is no restart file"),
        ("&run", "&ran", "wrong.nml is no namelist file with &ocean and &run"),
        ("network.closura'", "no.closura'", "no.closura: closura: the file cannot be opened"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(run, made, old, new, line):
    folder = work(run, "network")
    text = (folder / "one.nml").read_text()
    assert old in text
    (folder / "wrong.nml").write_text(text.replace(old, new))
    done = host(folder, "wrong.nml")
    assert done.returncode != 0
    assert line in done.stderr


def test_more_ranks_than_rows_are_refused(run, made):
    done = host(work(run, "network"), "two.nml", ranks=8)
    assert done.returncode != 0
    assert "there are too many ranks for ny rows" in done.stderr
