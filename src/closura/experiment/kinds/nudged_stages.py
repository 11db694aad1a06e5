"""What each stage of an experiment that nudges does, and the settings that it reads."""

import functools
import operator
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from closura.core.couple import couple
from closura.core.progress import listen, report
from closura.data.diagnose import diagnose
from closura.data.pairs import save_pairs
from closura.data.simulate import simulate
from closura.data.store import open_run, read_dataset, write_json
from closura.evaluation.atmosphere import Resampling, score_free_runs, scored_variables
from closura.evaluation.by_level import score_by_level
from closura.evaluation.free_runs import Lengths, free_run
from closura.evaluation.leads import forecast_errors, score_leads, spaced_starts
from closura.evaluation.protocol import Starts, interval_of, states_at, whole
from closura.evaluation.running_means import statistics_of
from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.experiment.kinds.nudged_inputs import (
    date,
    first_state,
    guarded,
    nudging_closure,
    nudging_inputs,
    reference_climate,
    reference_run,
    truth_model,
)
from closura.experiment.kinds.nudged_settings import FreeRuns, NudgedExperiment
from closura.experiment.kinds.pairs import HELD_OUT, TRAINING, keep_closure
from closura.experiment.kinds.simulated_stages import shared_variables
from closura.experiment.loading import Experiment
from closura.experiment.work import Work, plain, write_dataset

RECORDED = "nudged.zarr"


def statistics_file(model: str, seed: int = 0) -> str:
    """Return where the statistics of a free run are kept."""
    return f"free/{model}.nc" if seed == 0 else f"free/{model}/seed_{seed}.nc"


def leads_file(model: str) -> str:
    """Return where the errors of short forecasts are kept."""
    return f"leads/{model}.nc"


def check_closures(experiment: Experiment) -> None:
    """Raise ValueError where nudging or guards cannot be built: before anything runs."""
    from closura.core.closure import Zero

    nudging_closure(experiment)
    guarded(experiment, Zero())


def simulate_training(work: Work) -> None:
    """Run the truth that the model is nudged to."""
    data = _settings(work).data
    _simulate(work, "truth.zarr", data.duration, data.every)


def simulate_test(work: Work) -> None:
    """Run the independent truth that free runs are scored against."""
    evaluate = _settings(work).evaluate
    _simulate(work, "test.zarr", evaluate.duration, evaluate.every)


def run_independent(work: Work) -> None:
    """Run a third truth for its statistics: its distance from the second is the noise floor."""
    truth, lengths = truth_model(work.experiment), _lengths(work)
    spinup = cast(float, _settings(work).data.spinup)
    key = work.key("truth/independent")
    spun = Lengths(
        spinup + lengths.duration, spinup + lengths.discard, lengths.every, lengths.block
    )  # fmt: skip
    found = free_run(truth, truth.initial_state(key), spun, key=key, name="independent truth")
    write_dataset(found, work.folder / statistics_file(FLOOR))


def nudge(work: Work) -> None:
    """Nudge the model to the truth, and keep what it saw and what that took."""
    _nudge(work, work.experiment.model("coarse"), work.folder / RECORDED)


def make_pairs(work: Work) -> None:
    """Make pairs of the nudged run, and hold out a part of it."""
    held = _settings(work).data.held_out
    pairs = _pairs_of(work, work.folder / RECORDED)
    training, test = pairs.split(held.fraction, blocks=held.blocks, gap=held.gap)
    save_pairs(work.folder / TRAINING, training)
    save_pairs(work.folder / HELD_OUT, test)


def learn_again(work: Work, name: str, seed: int) -> None:
    """Fit a learner; where it iterates, nudge the corrected model and add what it still lacks."""
    settings = _settings(work)
    history: list[dict[str, Any]] = []
    key = jax.random.fold_in(work.key(f"learn/{name}"), seed)
    learned: list[Any] = []
    for number in range(1 + settings.iterate.get(name, 0)):
        pairs = work.pairs(TRAINING)
        if number:
            report("evaluate", model=name, what=f"nudged again, round {number}")
            model = corrected(work, functools.reduce(operator.add, learned))
            pairs = _pairs_of(work, _nudge(work, model, None))

        def listener(event: str, values: dict[str, Any], number: int = number) -> None:
            if event == "train":
                history.append({k: plain(v) for k, v in values.items()} | {"round": number + 1})

        with listen(listener):
            closure = work.learner(name, seed).fit(pairs, key=jax.random.fold_in(key, number))
        learned.append(closure)
    keep_closure(work, name, seed, functools.reduce(operator.add, learned), history)


def score_offline(work: Work) -> None:
    """Hold every closure against the pairs that were held out, without running any model."""
    settings = _settings(work)
    said = settings.evaluate
    scores = score_by_level(
        work.closures(), work.pairs(HELD_OUT), samples=said.samples, level=said.level,
        seed=settings.seed,
    )  # fmt: skip
    write_dataset(scores, work.folder / "offline.nc")


def run_free(work: Work, name: str, seed: int) -> None:
    """Run a model freely for its statistics, and make its short forecasts."""
    settings = _settings(work).evaluate
    model = _model_of(work, name, seed)
    truth = _truth_to_start_from(work)
    state = _first_state(work, truth)
    found = free_run(
        model, state, _lengths(work), key=work.key("online"), inputs=date(work), name=name
    )
    write_dataset(found, work.folder / statistics_file(name, seed))
    if truth is None or seed or not settings.forecasts or not settings.lead:
        return
    report("evaluate", model=name, what="forecasts")
    squares = forecast_errors(
        model, truth,
        spaced_starts(truth, count=settings.forecasts, lead=cast(float, settings.lead)),
        lead=cast(float, settings.lead), every=cast(float, settings.every),
        variables=scored_variables(found) if found.data_vars else list(_shared(work)),
        key=work.key("forecasts"), inputs=date(work),
    )  # fmt: skip
    write_dataset(squares, work.folder / leads_file(name))


def score(work: Work) -> None:
    """Hold every free run against the truth, beside the noise floor."""
    settings = _settings(work)
    names = [NO_CLOSURE, *settings.learners]
    runs = {name: read_dataset(work.folder / statistics_file(name)) for name in names}
    truth, other = _truths(work)
    said = settings.evaluate
    resampling = Resampling(said.samples, said.level, settings.seed)
    scores = score_free_runs(runs, truth=truth, other=other, resampling=resampling)
    attrs = scores.attrs
    if (work.folder / leads_file(NO_CLOSURE)).is_file():
        squares = {name: read_dataset(work.folder / leads_file(name)) for name in names}
        leads = score_leads(squares, **resampling.settings)
        scores = scores.merge(leads.reindex(model=scores["model"]))
    scores = _with_seeds(work, scores, truth, resampling)
    scores.attrs = attrs | {"time_units": work.experiment.model("coarse").time_units}
    write_dataset(scores, work.folder / "scores.nc")


def price(work: Work) -> None:
    """Measure what a hybrid step costs beside a coarse one."""
    from closura.evaluation.price import measure_price

    hybrids = {name: _model_of(work, name, 0) for name in _settings(work).learners}
    given = date(work)
    found = measure_price(
        hybrids,
        coarse=work.experiment.model("coarse"),
        members=1,
        inputs=None if given is None else given.at(0),
    )
    write_json(work.folder / "price.json", found)


def corrected(work: Work, closure: Any, *, record: bool = False) -> Any:
    """Return the coarse model with a learned closure, inside its guards."""
    said, model = _settings(work).coupling, work.experiment.model("coarse")
    pairs = work.pairs(TRAINING) if _settings(work).guards else None
    inside = guarded(work.experiment, closure, pairs)
    return couple(model, inside, at=said.at, every=cast(int, said.every), record=record)


def _model_of(work: Work, name: str, seed: int) -> Any:
    if name == NO_CLOSURE:
        return work.experiment.model("coarse")
    return corrected(work, work.closures(seed)[name], record=True)


def _simulate(work: Work, name: str, length: Any, every: Any) -> Any:
    return simulate(
        truth_model(work.experiment),
        duration=length,
        spinup=_settings(work).data.spinup,
        every=every,
        key=work.key(f"truth/{name}"),
        path=work.folder / name,
    )


def _nudge(work: Work, model: Any, path: Path | None) -> Any:
    """Return a nudged run of a model; in memory if there is no path."""
    data = _settings(work).data
    nudged = couple(model, nudging_closure(work.experiment), at="step", record=True)
    with reference_run(work) as truth:
        state, every = _first_state(work, truth), cast(float, data.every)
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
    coarse, data = work.experiment.model("coarse"), _settings(work).data
    return diagnose(
        opened, coarse=coarse, target="nudging", skip=cast(float, data.discard), inputs=date(work)
    )  # fmt: skip


def _first_state(work: Work, truth: Any) -> Any:
    """Return the state that a run starts from: that of the truth at its first instant, or a file's.

    Runs are started at the same state whatever their closure.
    """
    if truth is None:
        return first_state(work)
    states = states_at(work.experiment.model("coarse"), truth, Starts(np.array([0]), np.array([0])))
    return jax.tree.map(lambda leaf: leaf[..., 0], states)


def _truth_to_start_from(work: Work) -> Any:
    return open_run(work.folder / "test.zarr") if _settings(work).truth is not None else None


def _truths(work: Work) -> tuple[Any, Any]:
    """Return statistics of the truth, and of an independent one where there is one."""
    if _settings(work).truth is None:
        return reference_climate(work), None
    lengths = _lengths(work)
    with open_run(work.folder / "test.zarr") as run:
        truth = statistics_of(
            run.isel(member=0, drop=True),
            block=whole(lengths.block, lengths.every),
            skip=whole(lengths.discard, interval_of(run)),
        )
    return truth, read_dataset(work.folder / statistics_file(FLOOR))


def _with_seeds(work: Work, scores: Any, truth: Any, resampling: Resampling) -> Any:
    """Add the errors of learners fitted again from other seeds, ``mean_error_seeds``."""
    settings = _settings(work)
    if settings.seeds < 2:
        return scores
    without = read_dataset(work.folder / statistics_file(NO_CLOSURE))
    found = []
    for seed in range(1, settings.seeds):
        files = {name: work.folder / statistics_file(name, seed) for name in settings.learners}
        runs = {NO_CLOSURE: without} | {n: read_dataset(file) for n, file in files.items()}
        again = score_free_runs(runs, truth=truth, other=truth, resampling=resampling)
        found.append(again["mean_error"].reindex(model=scores["model"]).values)
    stacked = [[row[:, column] for row in found] for column in range(scores.sizes["variable"])]
    values = [list(zip(*rows, strict=True)) for rows in stacked]
    return scores.assign(mean_error_seeds=(("variable", "model", "seed"), values))


def _lengths(work: Work) -> Lengths:
    said: FreeRuns = _settings(work).evaluate
    numbers = (said.duration, said.discard, said.every, said.block)
    return Lengths(*(cast(float, value) for value in numbers))


def _shared(work: Work) -> tuple[str, ...]:
    return shared_variables(work.experiment)


def _settings(work: Work) -> NudgedExperiment:
    return cast(NudgedExperiment, work.experiment.settings)
