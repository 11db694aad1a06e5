"""What each stage of an experiment that nudges does, and the settings that it reads."""

import functools
import operator
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from closura.core.couple import couple
from closura.core.progress import report
from closura.data.diagnose import diagnose
from closura.data.pairs import save_pairs
from closura.data.simulate import simulate
from closura.data.store import open_run
from closura.evaluation.free_runs import BLOW_UP, Lengths, free_run
from closura.evaluation.protocol import Starts, states_at
from closura.evaluation.scores import FLOOR
from closura.experiment.kinds.nudged_inputs import (
    date,
    features_of,
    first_state,
    guarded,
    nudging_closure,
    nudging_inputs,
    reference_run,
    truth_model,
)
from closura.experiment.kinds.nudged_settings import FreeRuns, NudgedExperiment
from closura.experiment.kinds.pairs import HELD_OUT, TRAINING, fitted, keep_closure
from closura.experiment.together import Fit, History
from closura.experiment.work import Work, write_dataset

RECORDED = "nudged.zarr"


def statistics_file(model: str, seed: int = 0) -> str:
    """Return where the statistics of a free run are kept."""
    return f"free/{model}.nc" if seed == 0 else f"free/{model}/seed_{seed}.nc"


def leads_file(model: str) -> str:
    """Return where the errors of short forecasts are kept."""
    return f"leads/{model}.nc"


def simulate_training(work: Work) -> None:
    """Run the truth that the model is nudged to.

    Raises:
        RuntimeError: It blew up.
    """
    data = nudged_settings(work).data
    _simulate(work, "truth.zarr", data.duration, data.every)


def simulate_test(work: Work) -> None:
    """Run the independent truth that free runs are scored against.

    Raises:
        RuntimeError: It blew up.
    """
    evaluate = nudged_settings(work).evaluate
    _simulate(work, "test.zarr", evaluate.duration, evaluate.every)


def run_independent(work: Work) -> None:
    """Run a third truth for its statistics: its distance from the second is the noise floor.

    Raises:
        RuntimeError: It blew up.
    """
    truth, lengths = truth_model(work.experiment), lengths_of(work)
    spinup = cast(float, nudged_settings(work).data.spinup)
    key = work.key("truth/independent")
    spun = Lengths(
        spinup + lengths.duration, spinup + lengths.discard, lengths.every, lengths.block
    )  # fmt: skip
    found = free_run(truth, truth.initial_state(key), spun, key=key, name="independent truth")
    _check_whole("the independent truth", found.attrs[BLOW_UP])
    write_dataset(found, work.folder / statistics_file(FLOOR))


def nudge(work: Work) -> None:
    """Nudge the model to the truth, and keep what it saw and what that took."""
    _nudge(work, work.experiment.model("coarse"), work.folder / RECORDED)


def make_pairs(work: Work) -> None:
    """Make pairs of the nudged run, and hold out a part of it."""
    training, test = _split(work, _pairs_of(work, work.folder / RECORDED))
    save_pairs(work.folder / TRAINING, training)
    save_pairs(work.folder / HELD_OUT, test)


def learn_again(work: Work, name: str, seed: int) -> None:
    """Fit a learner; where it iterates, nudge the corrected model and add what it still lacks."""
    settings = nudged_settings(work)
    history: History = []
    learned: list[Any] = []
    for number in range(1 + settings.iterate.get(name, 0)):
        pairs = _nudged_again(work, name, learned) if learned else None
        closure, told = fitted(work, Fit(name, seed, number), settings.processes, pairs)
        learned.append(closure)
        history += [epoch | {"round": number + 1} for epoch in told]
    keep_closure(work, name, seed, functools.reduce(operator.add, learned), history)


def _nudged_again(work: Work, name: str, learned: list[Any]) -> Any:
    """Return the pairs of the nudged model as corrected so far."""
    report("evaluate", model=name, what=f"nudged again, round {len(learned)}")
    model = corrected(work, name, functools.reduce(operator.add, learned))
    # Every round leaves out the same times, or the offline scores would be of its training.
    pairs, _ = _split(work, _pairs_of(work, _nudge(work, model, None)))
    return pairs


def corrected(work: Work, name: str, closure: Any, *, record: bool = False) -> Any:
    """Return the coarse model with the learned closure of a learner, inside its guards."""
    said, model = nudged_settings(work).coupling, work.experiment.model("coarse")
    pairs = work.pairs(TRAINING) if nudged_settings(work).guards_of(name) else None
    features = features_of(work.experiment, name)
    inside = guarded(work.experiment, name, closure, pairs, features=features)
    return couple(model, inside, at=said.at, every=cast(int, said.every), record=record)


def _simulate(work: Work, name: str, length: Any, every: Any) -> None:
    run = simulate(
        truth_model(work.experiment),
        duration=length,
        spinup=nudged_settings(work).data.spinup,
        every=every,
        key=work.key(f"truth/{name}"),
        path=work.folder / name,
    )
    _check_whole(f"the truth in {name}", run.attrs["blow_up"])
    run.close()


def _check_whole(what: str, blow_up: str) -> None:
    """Raise where a truth blew up: nothing can be held against it, nor take its place."""
    if blow_up:
        raise RuntimeError(
            f"{what} failed: {blow_up}; shorten the time step of 'truth', or change its settings."
        )


def _nudge(work: Work, model: Any, path: Path | None) -> Any:
    """Return a nudged run of a model; in memory if there is no path."""
    data = nudged_settings(work).data
    nudged = couple(model, nudging_closure(work.experiment), at="step", record=True)
    with reference_run(work) as truth:
        state, every = first_state_of(work, truth), cast(float, data.every)
        length = cast(float, data.duration) - (every if truth is not None else 0.0)
        record = cast(float, data.record)
        return simulate(
            nudged,
            duration=record * int(length / record + 1e-6),
            every=record,
            key=work.key("nudged"),
            state=state,
            inputs=nudging_inputs(work, truth),
            variables=(),
            recorded=True,
            path=path,
        )


def _pairs_of(work: Work, run: Any) -> Any:
    """Return the pairs of a nudged run, stored or in memory."""
    opened = open_run(run) if isinstance(run, Path) else run
    coarse, data = work.experiment.model("coarse"), nudged_settings(work).data
    return diagnose(
        opened, coarse=coarse, target="nudging", skip=cast(float, data.discard), inputs=date(work)
    )  # fmt: skip


def _split(work: Work, pairs: Any) -> Any:
    """Return pairs to learn from, and those that are held out."""
    held = nudged_settings(work).data.held_out
    return pairs.split(held.fraction, blocks=held.blocks, gap=held.gap)


def first_state_of(work: Work, truth: Any) -> Any:
    """Return the state that a run starts from: that of the truth at its first instant, or a file's.

    Runs are started at the same state whatever their closure.
    """
    if truth is None:
        return first_state(work)
    states = states_at(work.experiment.model("coarse"), truth, Starts(np.array([0]), np.array([0])))
    return jax.tree.map(lambda leaf: leaf[..., 0], states)


def lengths_of(work: Work) -> Lengths:
    """Return how long free runs are."""
    said: FreeRuns = nudged_settings(work).evaluate
    numbers = (said.duration, said.discard, said.every, said.block)
    return Lengths(*(cast(float, value) for value in numbers))


def nudged_settings(work: Work) -> NudgedExperiment:
    """Return the settings of the experiment."""
    return cast(NudgedExperiment, work.experiment.settings)
