"""The command line: one line for every error, the right exit code, and nothing overwritten."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from closura import __version__, cli

SOURCE = Path(__file__).parents[1] / "src"
TINY = Path(__file__).parent / "experiment" / "tiny.yaml"


@pytest.fixture
def closura(monkeypatch, capsys, tmp_path):
    """Call the command line in an empty folder: (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["closura", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def test_the_version_is_that_of_the_package(closura):
    assert closura("--version") == (0, f"closura {__version__}\n", "")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['closura', '--help']\n"
        "from closura.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'jax', 'xarray', 'matplotlib', 'pydantic', 'numpy', 'yaml'}\n"
        "print('heavy:', *sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_list_shows_every_kind(closura):
    code, out, _ = closura("list")
    assert code == 0
    for name in (
        "experiments:",
        "lorenz96 ",
        "models:",
        "Lorenz96TwoScale",
        "Stencil",
        "WithNoise",
    ):
        assert name in out


def test_list_shows_one_kind(closura):
    code, out, _ = closura("list", "models")
    assert code == 0
    assert "Lorenz96" in out
    assert "Stencil" not in out


def test_list_offers_the_nearest_kind(closura):
    code, _, err = closura("list", "modls")
    assert code == 2
    assert "did you mean 'models'?" in err


def test_new_copies_an_experiment_under_its_name(closura, tmp_path):
    from closura.experiment import load_experiment

    assert closura("new", "my_study", "--from", "lorenz96")[0] == 0
    assert load_experiment(tmp_path / "my_study.yaml").name == "my_study"
    assert "# " in (tmp_path / "my_study.yaml").read_text()


def test_new_overwrites_nothing(closura, tmp_path):
    (tmp_path / "my_study.yaml").write_text("mine")
    code, _, err = closura("new", "my_study", "--from", "lorenz96")
    assert code == 2
    assert "is there already" in err
    assert (tmp_path / "my_study.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["../escape", "two words", "9lives", ""])
def test_new_refuses_names_that_cannot_be(closura, name):
    code, _, err = closura("new", name, "--from", "lorenz96")
    assert code == 2
    assert "cannot be the name" in err


WRONG = {
    "unknown experiment": (["run", "lorenz69"], "did you mean 'lorenz96'?"),
    "no such file": (["run", "none.yaml"], "none.yaml does not exist"),
    "unknown setting": (["run", str(TINY), "--set", "learners.network.widht=3"],
                        "Network has no setting 'widht'; did you mean 'width'? It takes:"),
    "unknown stage": (["run", str(TINY), "--until", "lern"], "did you mean 'learn'?"),
    "unknown command": (["rnu"], "No such command 'rnu'."),
    "unknown option": (["run", str(TINY), "--chekc"], "No such option: --chekc"),
    "nothing to run": (["run"], "Missing argument"),
    "no run folder": (["report", "nowhere"], "is not a run folder"),
    "time step": (["run", str(TINY), "--set", "data.every=0.012"], "no multiple of"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_an_error_is_one_line_and_exit_code_2(closura, wrong):
    arguments, line = WRONG[wrong]
    code, out, err = closura(*arguments)
    assert code == 2
    assert out == ""
    assert line in err
    assert len(err.splitlines()) == 1, err


def test_debug_shows_the_traceback(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["closura", "run", "lorenz69", "--debug"])
    with pytest.raises(FileNotFoundError):
        cli.main()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (KeyError("what"), "KeyError: 'what' (an error of closura: see it with --debug)"),
        (ValueError("one\n  two"), "one two"),
    ],
)
def test_any_error_is_one_line(closura, monkeypatch, error, line):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("closura.experiment.run.run_experiment", fail)
    code, _, err = closura("run", str(TINY))
    assert code == 2
    assert line in err
    assert len(err.splitlines()) == 1


def test_without_scikit_learn_a_forest_is_refused_before_anything_runs(
    closura, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    change = "learners.trees={type: Forest, trees: 3}"
    code, out, err = closura("run", str(TINY), "--folder", "run", "--set", change)
    assert (code, out) == (2, "")
    assert err == "closura: Forest needs scikit-learn: pip install 'closura[trees]'\n"
    assert not (tmp_path / "run").exists()


def test_an_expectation_with_a_typo_is_refused_before_anything_runs(closura, tmp_path):
    change = "expect.cubc.degree={above: 0}"
    code, _, err = closura("run", str(TINY), "--folder", "run", "--set", change)
    assert code == 2
    assert "begins with 'cubc'; did you mean 'cubic'?" in err
    assert not (tmp_path / "run").exists()


def test_a_folder_in_which_a_run_is_at_work_is_refused(closura, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, out, err = closura("run", str(TINY), "--folder", "run", "--until", "truth")
    assert (code, out) == (2, "")
    assert err == (
        "closura: another run is at work in run. Wait until it has ended, or run with --folder "
        "OTHER.\n"
    )
    assert closura("run", str(TINY), "--folder", "run", "--until", "truth", "--quiet")[0] == 0


def test_a_run_prints_its_table_and_check_decides_the_exit_code(closura):
    arguments = ("run", str(TINY), "--folder", "run", "--until", "offline")
    code, out, err = closura(*arguments, "--check")
    assert code == 0, err
    for words in ("offline R²", "no closure", "noise floor", "network", "cubic.coefficients.1"):
        assert words in out
    change = "expect.cubic.coefficients.1.below=-1000"
    code, out, err = closura(*arguments, "--check", "--set", change)
    assert code == 1
    assert "FAILED" in out
    assert "1 of 1 numbers are not as expected" in err
    code, out, _ = closura(*arguments, "--quiet")
    assert (code, out) == (0, "")


def test_outside_a_terminal_a_run_says_one_line_a_stage(closura, tmp_path):
    code, out, err = closura("run", str(TINY), "--folder", "run", "--until", "pairs")
    assert code == 0
    assert [line.split()[0] for line in err.splitlines()] == ["truth", "pairs"]
    assert re.search(r"truth +[\d.]+ s  training, test, reference", err)
    assert "run folder: run" in out


# What a shell starts in the background is deaf to interrupts, and so is all that it starts.
HEARING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-c", HEARING, "-m", "closura.cli", "run", str(TINY),
               "--folder", "run", "--set", "data.duration=400000"]  # fmt: skip
    running = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while (
        not list((tmp_path / "run").glob(".truth.zarr.partial/*")) and time.monotonic() < deadline
    ):
        time.sleep(0.2)
    for wait in 8 * [20]:  # Python drops an interrupt that falls into a finaliser: press it again
        running.send_signal(signal.SIGINT)
        try:
            _, err = running.communicate(timeout=wait)
            break
        except subprocess.TimeoutExpired:
            continue
    assert running.returncode == 130, err
    assert "finished stages are kept. To go on: closura run" in err
    assert "Traceback" not in err


ALONE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("dinosaur", "xgboost", "onnx", "onnxruntime", "distributed"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from closura.experiment import load_experiment
from closura.registry import REGISTRY, describe

assert load_experiment("lorenz96").kind.name == "simulated"
lines = [line for kind in REGISTRY for line in describe(kind).values()]
assert all(lines)
print(describe("models")["PrimitiveEquations"])
"""


def test_without_the_extras_other_experiments_load_and_every_name_is_listed():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "PrimitiveEquations needs dinosaur: pip install 'closura[atmosphere]'"
    )
