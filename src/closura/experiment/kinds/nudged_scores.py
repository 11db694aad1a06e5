"""How the closures of an experiment that nudges are scored: on pairs, and in free runs."""

from typing import Any, cast

import numpy as np

from closura.core.progress import report
from closura.data.store import open_run, read_dataset, write_json
from closura.evaluation.atmosphere import Resampling, score_free_runs, scored_variables
from closura.evaluation.by_level import score_by_level
from closura.evaluation.free_runs import free_run
from closura.evaluation.leads import forecast_errors, score_leads, spaced_starts
from closura.evaluation.protocol import interval_of, whole
from closura.evaluation.running_means import statistics_of
from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.experiment.kinds.nudged_inputs import date, reference_climate
from closura.experiment.kinds.nudged_stages import (
    corrected,
    first_state_of,
    leads_file,
    lengths_of,
    nudged_settings,
    statistics_file,
)
from closura.experiment.kinds.pairs import HELD_OUT
from closura.experiment.kinds.simulated_stages import shared_variables
from closura.experiment.work import Work, write_dataset


def score_offline(work: Work) -> None:
    """Hold every closure against the pairs that were held out, without running any model."""
    settings = nudged_settings(work)
    said = settings.evaluate
    scores = score_by_level(
        work.closures(), work.pairs(HELD_OUT), samples=said.samples, level=said.level,
        seed=settings.seed,
    )  # fmt: skip
    write_dataset(scores, work.folder / "offline.nc")


def run_free(work: Work, name: str, seed: int) -> None:
    """Run a model freely for its statistics."""
    model = _model_of(work, name, seed)
    state = first_state_of(work, _truth_to_start_from(work))
    found = free_run(
        model, state, lengths_of(work), key=work.key("online"), inputs=date(work), name=name
    )
    write_dataset(found, work.folder / statistics_file(name, seed))


def has_forecasts(work: Work) -> bool:
    """Return whether short forecasts are made: they start from a truth that is run."""
    settings = nudged_settings(work)
    return settings.truth is not None and bool(
        settings.evaluate.forecasts and settings.evaluate.lead
    )


def make_forecasts(work: Work, name: str) -> None:
    """Make a model's short forecasts from states of the truth."""
    settings = nudged_settings(work).evaluate
    truth = _truth_to_start_from(work)
    found = read_dataset(work.folder / statistics_file(name))
    report("evaluate", model=name, what="forecasts")
    squares = forecast_errors(
        _model_of(work, name, 0), truth,
        spaced_starts(truth, count=settings.forecasts, lead=cast(float, settings.lead)),
        lead=cast(float, settings.lead), every=cast(float, settings.every),
        variables=scored_variables(found) if found.data_vars else list(_shared(work)),
        key=work.key("forecasts"), inputs=date(work),
    )  # fmt: skip
    write_dataset(squares, work.folder / leads_file(name))


def score(work: Work) -> None:
    """Hold every free run against the truth, beside the noise floor."""
    settings = nudged_settings(work)
    names = [NO_CLOSURE, *settings.learners]
    runs = {name: read_dataset(work.folder / statistics_file(name)) for name in names}
    truth, other = _truths(work)
    said = settings.evaluate
    resampling = Resampling(said.samples, said.level, settings.seed)
    scores = score_free_runs(runs, truth=truth, other=other, resampling=resampling)
    attrs = scores.attrs
    if has_forecasts(work):  # files of earlier settings may lie there too
        squares = {name: read_dataset(work.folder / leads_file(name)) for name in names}
        leads = score_leads(squares, **resampling.settings)
        leads = leads.reindex(model=scores["model"], variable=scores["variable"])
        scores = scores.merge(leads, join="exact", compat="override")
    scores = _with_seeds(work, scores, truth, resampling)
    scores.attrs = attrs | {"time_units": work.experiment.model("coarse").time_units}
    write_dataset(scores, work.folder / "scores.nc")


def price(work: Work) -> None:
    """Measure what a hybrid step costs beside a coarse one."""
    from closura.evaluation.price import measure_price

    hybrids = {name: _model_of(work, name, 0) for name in nudged_settings(work).learners}
    given = date(work)
    found = measure_price(
        hybrids,
        coarse=work.experiment.model("coarse"),
        members=1,
        inputs=None if given is None else given.at(0),
    )
    write_json(work.folder / "price.json", found)


def _model_of(work: Work, name: str, seed: int) -> Any:
    if name == NO_CLOSURE:
        return work.experiment.model("coarse")
    return corrected(work, name, work.closure(name, seed), record=True)


def _truths(work: Work) -> tuple[Any, Any]:
    """Return statistics of the truth, and of an independent one where there is one."""
    if nudged_settings(work).truth is None:
        return reference_climate(work), None
    lengths = lengths_of(work)
    with open_run(work.folder / "test.zarr") as run:
        truth = statistics_of(
            run.isel(member=0, drop=True),
            block=whole(lengths.block, lengths.every),
            skip=whole(lengths.discard, interval_of(run)),
        )
    return truth, read_dataset(work.folder / statistics_file(FLOOR))


def _with_seeds(work: Work, scores: Any, truth: Any, resampling: Resampling) -> Any:
    """Add the errors of learners fitted again from other seeds, ``mean_error_seeds``."""
    settings = nudged_settings(work)
    if settings.seeds < 2:
        return scores
    without = read_dataset(work.folder / statistics_file(NO_CLOSURE))
    found = []
    for seed in range(1, settings.seeds):
        files = {name: work.folder / statistics_file(name, seed) for name in settings.learners}
        runs = {NO_CLOSURE: without} | {n: read_dataset(file) for n, file in files.items()}
        again = score_free_runs(runs, truth=truth, other=truth, resampling=resampling)
        errors = again["mean_error"].reindex_like(scores["mean_error"])
        found.append(errors.transpose("variable", "model").values)
    stacked = np.stack(found, axis=-1)
    return scores.assign(mean_error_seeds=(("variable", "model", "seed"), stacked))


def _shared(work: Work) -> tuple[str, ...]:
    return shared_variables(work.experiment)


def _truth_to_start_from(work: Work) -> Any:
    return open_run(work.folder / "test.zarr") if nudged_settings(work).truth is not None else None
