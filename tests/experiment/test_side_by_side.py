"""Steps that run side by side, in processes of their own, find what one process finds."""

import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import closura as cl
from alive import children_of, is_alive, wait_until
from closura.experiment import load_experiment, run_experiment, side_by_side
from closura.experiment.display import Display
from closura.experiment.run import _workers
from closura.experiment.side_by_side import Worker, _longest_first, _next, cores
from closura.experiment.steps import Step
from killed_once import KilledOnce

RING = Path(__file__).with_name("nudged.yaml")
SAME = ("truth.zarr", "nudged.zarr", "pairs.zarr", "offline.nc", "scores.nc", "linear/closure.eqx",
        "twice/closure.eqx", "free/no closure.nc", "free/twice.nc", "leads/linear.nc")  # fmt: skip
# The command line, hearing Ctrl-C even where the shell of the tests has it ignored.
LISTENING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from closura.cli import main
main()
"""


def step(name, *needs, alone=False) -> Step:
    return Step(name, name, {}, needs, (), lambda: None, alone=alone)


def at_work(*steps) -> list:
    """Workers that are at these steps; None is one at rest."""
    crew = []
    for each in steps:
        worker = object.__new__(Worker)
        worker.step = each
        crew.append(worker)
    return crew


@pytest.fixture
def changed(tmp_path):
    """The ring with other sections, as a file."""

    def changed(**sections) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(RING.read_text()) | sections))
        return path

    return changed


def content(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of each file in a folder but those that hold a time of writing."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_a_step_waits_for_what_it_needs_and_for_nothing_else():
    first, second, third = step("first"), step("second", "first"), step("third")
    assert _next([second, third], at_work(first)) is third
    assert _next([second], at_work(first, third)) is None
    assert _next([second], at_work(None, third)) is second


def test_the_longest_chain_comes_first_and_equal_ones_in_the_order_given():
    steps = [step("short"), step("first"), step("other", "done"), step("second", "first"),
             step("end", "second", "short"), step("timed", "first", alone=True)]  # fmt: skip
    names = [each.name for each in _longest_first(steps)]
    assert names == ["first", "short", "second", "other", "end", "timed"]


def test_nothing_runs_beside_a_step_that_is_to_run_alone():
    timed, other = step("timed", alone=True), step("other")
    assert _next([timed, other], at_work(other)) is other
    assert _next([timed], at_work(other)) is None
    assert _next([other], at_work(timed)) is None
    assert _next([timed], at_work(None, None)) is timed


def test_steps_that_need_each_other_are_told_of():
    with pytest.raises(RuntimeError, match="steps wait for each other: one, other"):
        _next([step("one", "other"), step("other", "one")], at_work(None))


def test_the_number_of_workers_is_that_asked_for_or_one_a_core_where_steps_are_long(tiny):
    assert _workers(load_experiment(RING)) == 1
    assert _workers(load_experiment(RING, ["workers=3"])) == 3
    assert _workers(load_experiment(RING, ["workers=null"])) == cores()
    assert _workers(load_experiment(tiny)) == 1


def test_workers_leave_cores_to_the_processes_that_fit_together(monkeypatch):
    monkeypatch.setattr("closura.experiment.run.cores", lambda: 5)
    for processes, workers in ((1, 5), (2, 2), (9, 1)):
        said = load_experiment(RING, ["workers=null", f"processes={processes}"])
        assert _workers(said) == workers


def test_what_only_this_process_can_import_is_not_left_to_others(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "OfTheScript", KilledOnce, raising=False)
    said = ["workers=null", "learners.linear.type=__main__.OfTheScript"]
    assert _workers(load_experiment(RING, said)) == 1


def test_workers_that_do_not_end_by_themselves_are_ended_together(monkeypatch):
    monkeypatch.setattr(side_by_side, "GRACE", 2.0)
    with side_by_side._crew() as (crew, _):
        for worker in (made := at_work(*[None] * 4)):
            worker.process = subprocess.Popen(
                ["sleep", "300"], stdin=subprocess.PIPE, start_new_session=True
            )
        crew += made
        began = time.monotonic()
    assert [worker.process.returncode for worker in made] == [-signal.SIGKILL] * 4
    assert time.monotonic() - began < 6  # one after the other it takes 8 s


def test_what_a_library_prints_in_a_worker_is_no_message(capsys):
    (worker,), told = at_work(None), queue.Queue()
    words = "print('welcome'); print('{\"seconds\": 1.5}')"
    worker.process = subprocess.Popen(
        [sys.executable, "-c", words], stdout=subprocess.PIPE, encoding="utf-8"
    )
    worker._listen(told)
    worker.process.wait()
    assert [told.get_nowait()[1] for _ in range(2)] == [{"seconds": 1.5}, None]
    assert capsys.readouterr().err == "welcome\n"


def test_a_stage_has_its_line_after_its_last_step_and_names_parts_in_order(capsys):
    first, second, third = (
        Step(name, name.partition("/")[0], {}, (), (), lambda: None)
        for name in ("truth/training", "truth/test", "online/linear")
    )
    with Display() as display:
        display.expect([first, second, third])
        display.begin(first)
        display.begin(third)
        display.end(third)
        display.end(second)  # kept
        display.end(first)
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert [(line[0], line[3:]) for line in lines] == [
        ("online", ["linear"]), ("truth", ["training,", "test"]),
    ]  # fmt: skip


def test_a_stage_takes_the_time_that_its_steps_take(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 15.0, 30.0, 100.0, 105.0])
    monkeypatch.setattr("closura.experiment.display.time.perf_counter", lambda: next(clock))
    first, second, third = (
        Step(f"truth/{name}", "truth", {}, (), (), lambda: None) for name in ("a", "b", "c")
    )
    with Display() as display:
        display.expect([first, second, third])
        display.begin(first)
        display.begin(second)  # beside the first
        display.end(first)
        display.end(second)
        display.begin(third)  # much later
        display.end(third)
    assert capsys.readouterr().err.split()[:2] == ["truth", "35.0"]


@pytest.mark.parametrize("number", [0, -2, "many"])
def test_a_number_of_workers_must_be_one(number):
    with pytest.raises(ValueError, match=rf"workers is '?{number}'?; it should be"):
        load_experiment(RING, [f"workers={number}"])


@pytest.mark.slow
def test_two_workers_find_what_one_finds_bit_for_bit(tmp_path):
    one, two = (tmp_path / name for name in ("one", "two"))
    run_experiment(RING, folder=one, until="price", quiet=True)
    run_experiment(RING, overrides=["workers=2"], folder=two, until="price", quiet=True)
    for name in SAME:
        assert content(one / name) == content(two / name), name


@pytest.mark.slow
def test_what_a_step_raises_in_a_worker_is_raised(tmp_path, changed):
    truth = {"type": "Lorenz96", "K": 36, "F": 10.0, "dt": 0.5}
    data = {"spinup": 4.0, "duration": 40.0, "every": 0.5}
    evaluate = {"duration": 90.0, "every": 0.5, "block": 8.0, "discard": 10.0}
    file = changed(truth=truth, data=data, evaluate=evaluate, workers=2)
    blow_up = r"^the .*truth.* failed: .* shorten the time step of .truth."
    with pytest.raises(RuntimeError, match=blow_up) as caught:
        run_experiment(file, folder=tmp_path / "run", quiet=True)
    assert "In a worker process:" in caught.value.__notes__[0]


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told_of_and_the_run_goes_on_from_there(tmp_path, changed):
    learner = {"type": "killed_once.KilledOnce", "features": {"type": "Stencil", "radius": 1},
               "mark": str(tmp_path / "killed")}  # fmt: skip
    file, folder = changed(learners={"linear": learner}, iterate={}, workers=2), tmp_path / "run"
    with pytest.raises(RuntimeError) as caught:
        run_experiment(file, folder=folder, until="learn", quiet=True)
    assert str(caught.value) == (
        "a worker process ended with -9 while it was at 'learn/linear'; run the experiment again: "
        "what is finished is kept."
    )
    made = (folder / "nudged.zarr" / "zarr.json").stat().st_mtime_ns
    run_experiment(file, folder=folder, until="learn", quiet=True)
    assert (folder / "linear" / "closure.eqx").is_file()
    assert (folder / "nudged.zarr" / "zarr.json").stat().st_mtime_ns == made


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_a_run_that_is_interrupted_or_killed(tmp_path, changed, how):
    file = changed(workers=2, evaluate={"duration": 9e6, "every": 0.1, "block": 8.0})
    folder = tmp_path / "run"
    source = str(Path(cl.__file__).parents[1])
    command = [sys.executable, "-c", LISTENING, "run", str(file), "--folder", str(folder)]
    run = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": source}, stderr=-1, text=True)
    wait_until(lambda: (folder / "truth.zarr").exists())  # the other truths are long
    workers = children_of(run.pid)
    assert workers
    run.send_signal(how)
    _, said = run.communicate(timeout=300)
    assert run.returncode == (130 if how == signal.SIGINT else -9)
    assert how == signal.SIGKILL or "interrupted; finished stages are kept" in said
    wait_until(lambda: not any(map(is_alive, workers)))
