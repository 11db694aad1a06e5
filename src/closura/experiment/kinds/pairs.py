"""What kinds of experiment share that learn from pairs: fitting, offline scores, vocabulary."""

from functools import partial
from pathlib import Path
from typing import Any, cast

import jax

from closura.core.learner import Pairs
from closura.core.progress import listen
from closura.data.closures import save_closure
from closura.data.store import write_json
from closura.experiment.specification import LearningSkeleton, Skeleton
from closura.experiment.steps import Step
from closura.experiment.together import (
    TRAINING,
    Fit,
    History,
    fit_together,
    trains_together,
)
from closura.experiment.vocabulary import OFFLINE_FILE, Vocabulary
from closura.experiment.work import Work, closure_folder, plain, write_dataset

HELD_OUT = "pairs_test.zarr"
CLOSURE_FILES = ("closure.eqx", "closure.json", "history.json")
NOT_LEARNED = ("no closure", "noise floor")  # models in the score files beside the learners
BOUNDS = ("", "_lower", "_upper")
_BOUNDED = ("forecast_mae", "forecast_rmse", "forecast_crps", "forecast_spread",
            "forecast_correlation", "forecast_mae_first_unit", "wasserstein_1", "hellinger",
            "kolmogorov_smirnov", "lyapunov")  # fmt: skip
_SHAPES = ("probability_density", "autocorrelation", "power_spectrum", "wave_number_spectrum",
           "example", "lyapunov", "mean", "variance")  # fmt: skip
# What `evaluate` writes.
ONLINE_SCORES = (
    *(f"{name}{end}" for name in _BOUNDED for end in BOUNDS), "forecast_mae_first_unit_seeds",
    "useful_lead", "rank_histogram", "climate_mean", "climate_mean_error", "climate_variance",
    "climate_variance_ratio", "bin_centre", "drift", "drift_significance", "drifts",
    "lost_chaos", "lost_chaos_share", "blown_up_share", "blown_up_forecasts_share",
    "extrapolated_share", *_SHAPES[:5], *(f"truth_{name}" for name in _SHAPES),
)  # fmt: skip
# What `score_offline` and `learning_curve` write.
OFFLINE_SCORES = (
    *(f"{kind}{name}{end}" for name in ("r_squared", "rmse", "bias", "learning_curve")
      for kind in ("", "overall_", "column_") for end in BOUNDS
      if name != "learning_curve" or not kind),
    "learning_curve_repeats", "extrapolated_share",
)  # fmt: skip


def vocabulary_of(settings: Skeleton) -> Vocabulary:
    """Return what can be asked for: scores of every learner, of no closure, of the floor."""
    learners = tuple(settings.recipes())
    scores = {"scores.nc": ONLINE_SCORES, OFFLINE_FILE: OFFLINE_SCORES}
    return Vocabulary(learners, (*learners, *NOT_LEARNED), scores)


def fits(work: Work, pairs: str) -> list[Step]:
    """Return the step that fits each learner from each seed; `pairs` is the step that it needs."""
    experiment = work.experiment
    seeds = cast(LearningSkeleton, experiment.settings).seeds
    processes = getattr(experiment.settings, "processes", 1)
    said = experiment.resolved()
    found = []
    for name in experiment.learners:
        for seed in range(seeds):
            part = {"learner": said["learners"][name], "seed": [said["seed"], seed]}
            needs = (pairs, *(fit_name(other, seed) for other in experiment.needs[name]))
            outputs = closure_files(name, seed)
            make = partial(learn, work, name, seed, processes)
            found.append(Step(fit_name(name, seed), "learn", part, needs, outputs, make))
    return found


def fit_name(learner: str, seed: int) -> str:
    """Return the name of the step that fits a learner from a seed."""
    return f"learn/{learner}" if seed == 0 else f"learn/{learner}/seed_{seed}"


def closure_files(learner: str, seed: int) -> tuple[str, ...]:
    """Return what such a step writes."""
    folder = closure_folder(Path(), learner, seed)
    return tuple(str(folder / file) for file in CLOSURE_FILES)


def first_fits(steps: list[Step]) -> tuple[str, ...]:
    """Return the names of the fits from seed 0."""
    return tuple(step.name for step in steps if step.name.count("/") == 1)


def learn(work: Work, name: str, seed: int, processes: int = 1) -> None:
    """Fit one learner once, and keep the closure and its training curve."""
    keep_closure(work, name, seed, *fitted(work, Fit(name, seed), processes))


def fitted(
    work: Work, fit: Fit, processes: int = 1, pairs: Pairs | None = None
) -> tuple[Any, History]:
    """Return what a fit gives: by several processes, or here where they could not share the work.

    Args:
        work: The run.
        fit: What is fitted.
        processes: How many may be started.
        pairs: What it is fitted to; the training pairs of the run if None.
    """
    if processes > 1 and trains_together(work.learner(fit.learner, fit.seed)):
        return fit_together(work, fit, processes, pairs)
    return fit_here(work, fit, pairs)


def fit_here(work: Work, fit: Fit, pairs: Pairs | None = None) -> tuple[Any, History]:
    """Return the closure and the training curve of a fit, by this process."""
    history: History = []

    def listener(event: str, values: dict[str, Any]) -> None:
        if event == "train":
            history.append({key: plain(value) for key, value in values.items()})

    key = jax.random.fold_in(work.key(f"learn/{fit.learner}"), fit.seed)
    if fit.round is not None:
        key = jax.random.fold_in(key, fit.round)
    with listen(listener):
        learner = work.learner(fit.learner, fit.seed)
        pairs = work.pairs(TRAINING) if pairs is None else pairs
        return learner.fit(pairs, key=key), history


def keep_closure(work: Work, name: str, seed: int, closure: Any, history: History) -> None:
    """Write a learned closure and its training curve where it belongs."""
    folder = closure_folder(work.folder, name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_closure(folder, closure)
    write_json(folder / "history.json", history)


def score_on_pairs(work: Work) -> None:
    """Hold every closure against the test pairs, without running any model.

    Fields on latitudes and longitudes count by area and mass, and are read a piece at a time.
    """
    from closura.evaluation.by_level import on_the_sphere, score_by_level
    from closura.evaluation.learning_curve import learning_curve
    from closura.evaluation.offline import score_offline

    settings = getattr(work.experiment.settings, "evaluate", None)
    chosen = {name: getattr(settings, name) for name in ("samples", "level", "block")
              if hasattr(settings, name)}  # fmt: skip
    test = work.pairs(HELD_OUT)
    if on_the_sphere(test):
        seed = work.experiment.settings.seed
        scores = score_by_level(work.closures(), test, seed=seed, **chosen)
    else:
        scores = score_offline(work.closures(), test, key=work.key("offline"), **chosen)
    curve = getattr(settings, "learning_curve", None)
    if curve is not None:
        curves = learning_curve(
            {name: work.learner(name, 0) for name in work.experiment.settings.recipes()},
            work.pairs(TRAINING),
            held_out=test,
            sizes=curve.sizes,
            repeats=curve.repeats,
            key=work.key("learning_curve"),
        )
        curves = curves.reindex(model=scores["model"])  # else merging would sort the models
        scores = scores.merge(curves, combine_attrs="override")
    write_dataset(scores, work.folder / "offline.nc")
