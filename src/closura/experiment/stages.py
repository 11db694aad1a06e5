"""What each stage does: reads from the run folder, works, and writes back into it."""

import math
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import jax
from jaxtyping import Array

from closura.core.couple import couple
from closura.core.progress import listen
from closura.data.closures import load_closure, save_closure
from closura.data.diagnose import diagnose
from closura.data.pairs import load_pairs, read_pairs, save_pairs
from closura.data.simulate import simulate
from closura.data.store import open_run, write_atomically, write_json
from closura.evaluation.scores import NO_CLOSURE
from closura.experiment.loading import Experiment

TRAINING, HELD_OUT = "pairs.zarr", "pairs_test.zarr"
EVALUATION_MEMBERS = 8  # runs that share the length of the test truth: a batch is cheaper


@dataclass
class Work:
    """What the stages of one run share.

    Args:
        experiment: The experiment.
        folder: Its run folder.
    """

    experiment: Experiment
    folder: Path
    _pairs: dict[str, Any] = field(default_factory=dict)

    def key(self, stream: str) -> Array:
        """Return the random key of a named stream; no stream depends on what else runs."""
        seed = jax.random.key(self.experiment.settings.seed)
        return jax.random.fold_in(seed, zlib.crc32(stream.encode()) & 0x7FFFFFFF)

    def pairs(self, name: str) -> Any:
        """Return stored pairs, opened once."""
        if name not in self._pairs:
            pairs = load_pairs(self.folder / name)
            model = None if self.experiment.uses_files else self.experiment.coarse()
            self._pairs[name] = replace(pairs, model=model)
        return self._pairs[name]

    def learner(self, name: str, seed: int) -> Any:
        """Return a learner; closures of others that it starts from are those of the same seed."""

        def fitted(other: str) -> Any:
            return load_closure(closure_folder(self.folder, other, seed))

        return self.experiment.learner(name, fitted)

    def closures(self, seed: int = 0) -> dict[str, Any]:
        """Return every learned closure of one seed, by learner."""
        names = self.experiment.settings.learners
        return {name: load_closure(closure_folder(self.folder, name, seed)) for name in names}


def closure_folder(folder: Path, name: str, seed: int) -> Path:
    """Return where a learner's closure of one seed lies; seed 0 is the learner's own folder."""
    return folder / name if seed == 0 else folder / name / f"seed_{seed}"


def simulate_training(work: Work) -> None:
    """Run the truth that closures are trained on; only what the coarse model knows is kept."""
    data = work.experiment.with_models.data
    _simulate(work, "truth.zarr", data.duration, data.every, data.members)


def simulate_test(work: Work) -> None:
    """Run the independent truth that online scores are held against, with its full state."""
    truth = work.experiment.truth()
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
    data = work.experiment.with_models.data
    length = cast(float, data.test_duration)  # filled in when the experiment was loaded
    run = _simulate(work, None, length, data.every, data.members, stream="held_out")
    _diagnose(work, run, HELD_OUT)


def split_file_pairs(work: Work) -> None:
    """Read pairs from the user's files and hold out blocks of time."""
    data = work.experiment.with_files.data
    settings = {k: v for k, v in data.model_dump().items() if k not in ("files", "held_out")}
    pairs = read_pairs(data.files, **settings)
    held = data.held_out
    training, test = pairs.split(held.fraction, blocks=held.blocks, gap=held.gap)
    save_pairs(work.folder / TRAINING, training)
    save_pairs(work.folder / HELD_OUT, test)


def learn(work: Work, name: str, seed: int) -> None:
    """Fit one learner once, and keep its training curve."""
    history: list[dict[str, Any]] = []

    def listener(event: str, values: dict[str, Any]) -> None:
        if event == "train":
            history.append({key: plain(value) for key, value in values.items()})

    key = jax.random.fold_in(work.key(f"learn/{name}"), seed)
    with listen(listener):
        closure = work.learner(name, seed).fit(work.pairs(TRAINING), key=key)
    folder = closure_folder(work.folder, name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_closure(folder, closure)
    write_json(folder / "history.json", history)


def score_on_pairs(work: Work) -> None:
    """Hold every closure against the test pairs, without running any model."""
    from closura.evaluation.learning_curve import learning_curve
    from closura.evaluation.offline import score_offline

    settings = work.experiment.settings.evaluate
    chosen = {name: getattr(settings, name) for name in ("samples", "level", "block")
              if hasattr(settings, name)}  # fmt: skip
    test = work.pairs(HELD_OUT)
    scores = score_offline(work.closures(), test, key=work.key("offline"), **chosen)
    curve = getattr(settings, "learning_curve", None)
    if curve is not None:
        curves = learning_curve(
            {name: work.learner(name, 0) for name in work.experiment.settings.learners},
            work.pairs(TRAINING),
            held_out=test,
            sizes=curve.sizes,
            repeats=curve.repeats,
            key=work.key("learning_curve"),
        )
        curves = curves.reindex(model=scores["model"])  # else merging would sort the models
        scores = scores.merge(curves, combine_attrs="override")
    _write_dataset(scores, work.folder / "offline.nc")


def score_online(work: Work) -> None:
    """Run every hybrid model, and no closure, against the test truth."""
    from closura.evaluation.compare import evaluate

    settings = work.experiment.with_models.evaluate
    test, reference = (open_run(work.folder / f"{name}.zarr") for name in ("test", "reference"))
    with test, reference:
        scores = evaluate(
            hybrids(work),
            truth=test,
            baselines={NO_CLOSURE: work.experiment.coarse()},
            key=work.key("online"),
            reference=reference,
            truth_model=work.experiment.truth(),
            replicates=_replicates(work),
            **settings.model_dump(),
        )
    _write_dataset(scores, work.folder / "scores.nc")


def price(work: Work) -> None:
    """Measure what a hybrid step costs beside a coarse and a fine one."""
    from closura.evaluation.price import measure_price

    coarse, truth = work.experiment.coarse(), work.experiment.truth()
    found = measure_price(hybrids(work), coarse=coarse, truth_model=truth)
    write_json(work.folder / "price.json", found)


def hybrids(work: Work, seed: int = 0) -> dict[str, Any]:
    """Return the coarse model coupled with each learned closure, by learner."""
    settings, coarse = work.experiment.with_models.coupling, work.experiment.coarse()
    return {
        name: couple(coarse, closure, at=settings.at, every=settings.every)
        for name, closure in work.closures(seed).items()
    }


def shared_variables(experiment: Experiment) -> tuple[str, ...]:
    """Return the variables that truth and coarse model have in common.

    Raises:
        ValueError: There are none.
    """
    truth = [variable.name for variable in experiment.truth().variables]
    coarse = [variable.name for variable in experiment.coarse().variables]
    shared = tuple(name for name in coarse if name in truth)
    if not shared:
        raise ValueError(
            f"truth has the variables {', '.join(truth)} and coarse {', '.join(coarse)}: none in "
            "common, so there is nothing to compare; choose models of the same system."
        )
    return shared


def plain(value: Any) -> Any:
    """Return a reported value as JSON knows it."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, list | tuple) else str(value)


def _simulate(
    work: Work, name: str | None, duration: float, every: float, members: int, *,
    stream: str | None = None, variables: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
    data = work.experiment.with_models.data
    shared = shared_variables(work.experiment)
    wanted = shared if variables is None else variables
    rates = shared if data.target == "coupling" and variables is None else ()
    return simulate(
        work.experiment.truth(),
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
    settings = work.experiment.with_models.evaluate
    every = cast(float, settings.every)  # filled in when the experiment was loaded
    members = int(max(1, min(EVALUATION_MEMBERS, settings.climate / (10 * settings.lead))))
    each = every * math.ceil(settings.climate / members / every - 1e-6)
    length = max(each, settings.lead + every)  # a forecast ends on a state, so it needs one more
    _simulate(work, name, length, every, members, variables=variables)


def _diagnose(work: Work, run: Any, name: str) -> None:
    experiment = work.experiment
    pairs = diagnose(
        run,
        truth=experiment.truth(),
        coarse=experiment.coarse(),
        target=experiment.with_models.data.target,
    )
    save_pairs(work.folder / name, pairs)


def _replicates(work: Work) -> dict[str, list[Any]]:
    """Return the hybrids of the other seeds, by learner, where the seed made a difference."""
    seeds = range(1, work.experiment.settings.seeds)
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


def _write_dataset(dataset: Any, path: Path) -> None:
    with write_atomically(path) as temporary:
        dataset.to_netcdf(temporary)
