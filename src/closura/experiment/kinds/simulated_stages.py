"""What each stage of a simulated experiment does, and the settings that it reads."""

import math
from typing import Any, cast

from closura.core.couple import couple
from closura.data.diagnose import diagnose
from closura.data.pairs import save_pairs
from closura.data.simulate import simulate
from closura.data.store import open_run, write_json
from closura.evaluation.scores import NO_CLOSURE
from closura.experiment.kinds.pairs import HELD_OUT, TRAINING
from closura.experiment.kinds.simulated_settings import SimulatedExperiment
from closura.experiment.loading import Experiment
from closura.experiment.work import Work, write_dataset

EVALUATION_MEMBERS = 8  # runs that share the length of the test truth: a batch is cheaper


def simulate_training(work: Work) -> None:
    """Run the truth that closures are trained on; only what the coarse model knows is kept."""
    data = _settings(work).data
    _simulate(work, "truth.zarr", data.duration, data.every, data.members)


def simulate_test(work: Work) -> None:
    """Run the independent truth that online scores are held against, with its full state."""
    truth = work.experiment.model("truth")
    _simulate_long(work, "test.zarr", tuple(v.name for v in truth.variables))


def simulate_reference(work: Work) -> None:
    """Run a third truth: its distance from the second is the noise floor."""
    _simulate_long(work, "reference.zarr", shared_variables(work.experiment))


def make_training_pairs(work: Work) -> None:
    """Diagnose what the coarse model lacked along the training truth."""
    with open_run(work.folder / "truth.zarr") as run:
        _diagnose(work, run, TRAINING)


def make_test_pairs(work: Work) -> None:
    """Diagnose the same along an independent run, for the offline scores."""
    data = _settings(work).data
    length = cast(float, data.test_duration)  # filled in when the experiment was loaded
    run = _simulate(work, None, length, data.every, data.members, stream="held_out")
    _diagnose(work, run, HELD_OUT)


def score_online(work: Work) -> None:
    """Run every hybrid model, and no closure, against the test truth."""
    from closura.evaluation.compare import evaluate

    settings = _settings(work).evaluate
    test, reference = (open_run(work.folder / f"{name}.zarr") for name in ("test", "reference"))
    with test, reference:
        scores = evaluate(
            hybrids(work),
            truth=test,
            baselines={NO_CLOSURE: work.experiment.model("coarse")},
            key=work.key("online"),
            reference=reference,
            truth_model=work.experiment.model("truth"),
            replicates=_replicates(work),
            **settings.model_dump(),
        )
    write_dataset(scores, work.folder / "scores.nc")


def price(work: Work) -> None:
    """Measure what a hybrid step costs beside a coarse and a fine one."""
    from closura.evaluation.price import measure_price

    coarse, truth = work.experiment.model("coarse"), work.experiment.model("truth")
    found = measure_price(hybrids(work), coarse=coarse, truth_model=truth)
    write_json(work.folder / "price.json", found)


def hybrids(work: Work, seed: int = 0) -> dict[str, Any]:
    """Return the coarse model coupled with each learned closure, by learner."""
    settings, coarse = _settings(work).coupling, work.experiment.model("coarse")
    return {
        name: couple(coarse, closure, at=settings.at, every=settings.every)
        for name, closure in work.closures(seed).items()
    }


def shared_variables(experiment: Experiment) -> tuple[str, ...]:
    """Return the variables that truth and coarse model have in common.

    Raises:
        ValueError: There are none.
    """
    truth = [variable.name for variable in experiment.model("truth").variables]
    coarse = [variable.name for variable in experiment.model("coarse").variables]
    shared = tuple(name for name in coarse if name in truth)
    if not shared:
        raise ValueError(
            f"truth has the variables {', '.join(truth)} and coarse {', '.join(coarse)}: none in "
            "common, so there is nothing to compare; choose models of the same system."
        )
    return shared


def _simulate(
    work: Work, name: str | None, duration: float, every: float, members: int, *,
    stream: str | None = None, variables: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
    data = _settings(work).data
    shared = shared_variables(work.experiment)
    wanted = shared if variables is None else variables
    rates = shared if data.target == "coupling" and variables is None else ()
    return simulate(
        work.experiment.model("truth"),
        duration=duration,
        spinup=data.spinup,
        every=every,
        members=members,
        key=work.key(f"truth/{stream or name}"),
        variables=wanted,
        tendencies=rates,
        path=None if name is None else work.folder / name,
    )


def _simulate_long(work: Work, name: str, variables: tuple[str, ...]) -> None:
    """Run a truth as long as the climate runs, all members together, and for one forecast."""
    settings = _settings(work).evaluate
    every = cast(float, settings.every)  # filled in when the experiment was loaded
    members = int(max(1, min(EVALUATION_MEMBERS, settings.climate / (10 * settings.lead))))
    each = every * math.ceil(settings.climate / members / every - 1e-6)
    length = max(each, settings.lead + every)  # a forecast ends on a state, so it needs one more
    _simulate(work, name, length, every, members, variables=variables)


def _diagnose(work: Work, run: Any, name: str) -> None:
    experiment = work.experiment
    pairs = diagnose(
        run,
        truth=experiment.model("truth"),
        coarse=experiment.model("coarse"),
        target=_settings(work).data.target,
    )
    save_pairs(work.folder / name, pairs)


def _replicates(work: Work) -> dict[str, list[Any]]:
    """Return the hybrids of the other seeds, by learner, where the seed made a difference."""
    seeds = range(1, _settings(work).seeds)
    first = work.closures()
    found: dict[str, list[Any]] = {name: [] for name in first}
    for seed in seeds:
        others, models = work.closures(seed), hybrids(work, seed)
        for name in first:
            if not _same(first[name], others[name]):
                found[name].append(models[name])
    return {name: models for name, models in found.items() if models}


def _same(first: Any, second: Any) -> bool:
    """Return whether two closures are equal, number by number."""
    import equinox as eqx

    return bool(eqx.tree_equal(first, second))


def _settings(work: Work) -> SimulatedExperiment:
    return cast(SimulatedExperiment, work.experiment.settings)
