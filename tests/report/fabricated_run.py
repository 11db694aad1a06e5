"""Run folders as an experiment would leave them, with made-up numbers of realistic shape."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import xarray as xr
import yaml

from closura.closures.features import Whole
from closura.closures.learned import LearnedClosure, Scaling
from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.core.closure import Sum
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.data.closures import save_closure
from closura.data.pairs import save_pairs
from closura.nets.affine import Affine

POINTS = 7
CUBIC = (-0.341, -1.30, 0.0136, 0.00235)
LEADS = np.linspace(0.0, 3.0, 61)
SLOW = Variable("X", "1", ("k",), "slow variable")


def fabricate(
    folder: Path, *, closures: tuple[str, ...] = ("linear", "cubic", "noisy cubic", "network"),
    worst: str | None = None,
) -> Path:  # fmt: skip
    """Write the run folder of a Lorenz-96 experiment; `worst` blows up in its runs."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    _experiment(folder, closures)
    _pairs(folder, random)
    for index, name in enumerate(closures):
        _closure(folder / name, name, index)
    _scores(closures, worst, random).to_netcdf(folder / "scores.nc")
    _offline(closures).to_netcdf(folder / "offline.nc")
    _records(folder, closures)
    return folder


def fabricate_columns(folder: Path) -> Path:
    """Write the run folder of an experiment on a user's own columns."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(11)
    names = ("linear", "forest", "network")
    experiment = {
        "name": "columns",
        "learners": {name: {"type": name.title()} for name in names},
        "data": {"files": ["h1.nc", "h2.nc"], "held_out": {"fraction": 0.2, "blocks": 5}},
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    pressure = np.linspace(20.0, 990.0, 23) ** 1.0
    for file, count in (("pairs.zarr", 121), ("pairs_test.zarr", 30)):
        save_pairs(folder / file, _column_pairs(count, pressure, random))
    for index, name in enumerate(names):
        _column_closure(folder / name, len(pressure), index)
    _column_scores(names, pressure, random).to_netcdf(folder / "offline.nc")
    _records(folder, names)
    (folder / "price.json").unlink()
    return folder


def _experiment(folder: Path, closures: tuple[str, ...]) -> None:
    experiment = {
        "name": "lorenz96",
        "description": "Closures of the two-scale Lorenz-96 system, offline and running.",
        "seed": 0,
        "truth": {"type": "Lorenz96TwoScale", "K": POINTS, "J": 32, "F": 20.0},
        "coarse": {"type": "Lorenz96", "K": POINTS, "F": 20.0, "dt": 0.005},
        "data": {"spinup": 10.0, "duration": 200.0, "every": 0.005, "target": "difference"},
        "learners": {name: {"type": "Polynomial"} for name in closures},
        "evaluate": {"forecasts": 100, "lead": 3.0, "climate": 200.0},
        "expect": {f"{closures[0]}.coefficients.1": {"value": -1.3, "within": 0.03}},
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))


def _pairs(folder: Path, random: np.random.Generator) -> None:
    for file, count in (("pairs.zarr", 1500), ("pairs_test.zarr", 300)):
        X = 3.7 + 5.0 * random.standard_normal((2, count, POINTS))
        target = np.polynomial.polynomial.polyval(X, CUBIC) - 0.2 * np.roll(X, 1, axis=-1)
        target += 1.9 * random.standard_normal(X.shape)
        pairs = Pairs(
            {"X": X}, {"X": target}, 0.05 * np.arange(count), Passport("difference", dt=0.005),
            {"X": SLOW}, warnings=("the target was measured over dt = 0.005.",),
        )  # fmt: skip
        save_pairs(folder / file, pairs)


def _closure(folder: Path, name: str, index: int) -> None:
    bent = [c * (1 + 0.03 * index) for c in CUBIC][: 2 if name == "linear" else 4]
    closure = PolynomialClosure(bent)
    noise = AR1Noise({"X": np.asarray(0.985)}, {"X": np.asarray(1.9)})
    save_closure(folder, Sum((closure, noise)) if "noisy" in name else closure)
    if "network" in name:
        for seed in (0, 1, 2):
            where = folder if seed == 0 else folder / f"seed_{seed}"
            where.mkdir(exist_ok=True)
            (where / "history.json").write_text(json.dumps(_history("Network", seed)))


def _history(learner: str, seed: int) -> list[dict]:
    epochs = range(1, 31 + 5 * seed)
    return [
        {"learner": learner, "epoch": epoch, "epochs": 60, "measure": "1 - R2", "start": 1.2,
         "loss": 0.1 + 0.9 * np.exp(-epoch / (4 + seed)),
         "validation": 0.12 + 0.8 * np.exp(-epoch / (4 + seed)) + 0.0004 * epoch}
        for epoch in epochs
    ]  # fmt: skip


def _scores(closures, worst, random) -> xr.Dataset:
    models = [*closures, "no closure", "noise floor"]
    growth = {name: 0.5 / (1 + 0.4 * i) for i, name in enumerate(closures)}
    growth |= {"no closure": 2.4, "noise floor": 0.12}
    error = np.stack([7.0 * (1 - np.exp(-growth[name] * LEADS**1.5)) for name in models])
    if worst in models:
        error[models.index(worst)] = 0.3 * np.exp(12 * LEADS)
    error = error[:, None]
    bins = np.linspace(-12, 17, 72)
    truth_density = _density(bins, 3.7, 5.0)
    shifts = np.linspace(0.9, 0.05, len(models))
    density = np.stack([_density(bins, 3.7 + s, 5.0 + s) for s in shifts])[:, None]
    lags, frequency, waves = LEADS, np.linspace(0.0, 10.0, 101), np.arange(1, POINTS // 2 + 1)
    rates = 1 + 0.3 * shifts
    memory = np.stack([np.cos(3 * lags * r) * np.exp(-1.5 * lags) for r in rates])[:, None]
    spectrum = np.stack([30 * r / (1 + frequency**3) for r in rates])[:, None]
    wave = np.stack([9 * r / waves**1.5 for r in rates])[:, None]
    along = ("model", "variable", "lead")
    found = xr.Dataset(
        {
            "forecast_mae": (along, 0.8 * error),
            "forecast_rmse": (along, error),
            "forecast_correlation": (along, np.clip(1 - (np.minimum(error, 9) / 7.5) ** 2, -1, 1)),
            "probability_density": (("model", "variable", "bin"), density),
            "truth_probability_density": (("variable", "bin"), truth_density[None]),
            "bin_centre": (("variable", "bin"), bins[None]),
            "autocorrelation": (("model", "variable", "lag"), memory),
            "truth_autocorrelation": (("variable", "lag"), memory.mean(0)),
            "power_spectrum": (("model", "variable", "frequency"), spectrum),
            "truth_power_spectrum": (("variable", "frequency"), spectrum.mean(0)),
            "wave_number_spectrum": (("model", "variable", "wave_number"), wave),
            "truth_wave_number_spectrum": (("variable", "wave_number"), wave.mean(0)),
            "truth_lyapunov": 2.9,
        },
        {"model": models, "variable": ["X"], "lead": LEADS, "lag": lags, "frequency": frequency,
         "wave_number": waves},
    )  # fmt: skip
    for name in ("forecast_mae", "forecast_rmse", "forecast_correlation"):
        width = 0.08 * found[name] + 0.01
        found[f"{name}_lower"], found[f"{name}_upper"] = found[name] - width, found[name] + width
    _add_numbers(found, models, closures, worst, shifts)
    _add_ensembles(found, models)
    _add_example(found, models, worst, random)
    found.attrs = {
        "warnings": json.dumps(_warnings(closures, worst)),
        "protocol": json.dumps({"forecasts": 100, "lead": 3.0, "climate": 200.0, "level": 0.9}),
        "time_units": "1",
    }
    return found


def _warnings(closures, worst) -> list[str]:
    lines = [f"{closures[0]}: lost its chaos in 100% of the long runs"]
    return lines + ([f"{worst}: blows up in 25% of the climate runs"] if worst else [])


def _add_numbers(found, models, closures, worst, shifts) -> None:
    pair = ("model", "variable")
    first = found["forecast_mae"].sel(lead=slice(0, 1)).mean("lead").values
    found["forecast_mae_first_unit"] = (pair, first)
    found["forecast_mae_first_unit_lower"] = (pair, 0.93 * first)
    found["forecast_mae_first_unit_upper"] = (pair, 1.07 * first)
    found["useful_lead"] = (pair, np.linspace(0.9, 2.6, len(models))[:, None])
    found["wasserstein_1"] = (pair, shifts[:, None])
    found["hellinger"] = (pair, 0.02 * shifts[:, None] ** 2)
    found["kolmogorov_smirnov"] = (pair, 0.1 * shifts[:, None])
    found["lyapunov"] = ("model", [-0.01, *np.linspace(2.2, 2.8, len(models) - 2), np.nan])
    found["lyapunov_lower"] = found["lyapunov"] - 0.1
    found["lyapunov_upper"] = found["lyapunov"] + 0.1
    found["lost_chaos"] = ("model", np.arange(len(models)) == 0)
    found["blown_up_share"] = ("model", [0.25 if name == worst else 0.0 for name in models])
    found["extrapolated_share"] = ("model", np.linspace(0.03, 0.0, len(models)))


def _add_ensembles(found, models) -> None:
    noisy = [i for i, name in enumerate(models) if "noisy" in name]
    spread = np.full(found["forecast_rmse"].shape, np.nan)
    ranks = np.full((len(models), 1, 21), np.nan)
    for index in noisy:
        spread[index] = 0.85 * found["forecast_rmse"].values[index]
        ranks[index] = 1 / 21 + 0.02 * np.linspace(-1, 1, 21) ** 2
    found["forecast_spread"] = (("model", "variable", "lead"), spread)
    found["rank_histogram"] = (("model", "variable", "rank"), ranks)


def _add_example(found, models, worst, random) -> None:
    phase = 2 * np.pi * np.arange(POINTS) / POINTS
    truth = 3.7 + 6 * np.sin(3 * phase + 4 * LEADS[:, None]) * np.cos(1.3 * LEADS[:, None])
    examples = np.full((len(models), LEADS.size, POINTS), np.nan)
    for index, name in enumerate(models[:-1]):
        noise = random.standard_normal(truth.shape) * 0.6 * index * LEADS[:, None]
        examples[index] = truth + noise
        if name == worst:
            examples[index, 20:] = np.nan
    found["example"] = (("model", "lead", "point"), examples)
    found["truth_example"] = (("lead", "point"), truth)
    found["example"].attrs["variable"] = "X"


def _offline(closures) -> xr.Dataset:
    models = ["no closure", *closures, "noise floor"]
    score = np.array([-0.9, *np.linspace(0.79, 0.89, len(closures)), 0.008])[:, None]
    pair = ("model", "variable")
    found = xr.Dataset(
        {"r_squared": ((*pair, "point"), np.repeat(score[..., None], POINTS, axis=-1))},
        {"model": models, "variable": ["X"], "units": ("variable", ["1"])},
    )
    for name, width in (("overall_r_squared", 0.012), ("overall_rmse", 0.1)):
        found[name] = (pair, score)
        found[f"{name}_lower"], found[f"{name}_upper"] = (
            (pair, score - width), (pair, score + width),
        )  # fmt: skip
    found["column_r_squared"] = (pair, np.full(score.shape, np.nan))
    return found


def _records(folder: Path, closures) -> None:
    price = {"coarse": {"ratio_to_coarse": 1.0, "ratio_to_fine": 0.02}}
    for index, name in enumerate(closures):
        price[name] = {"ratio_to_coarse": 1.1 + index**2, "ratio_to_fine": 0.022 + 0.02 * index**2}
    (folder / "price.json").write_text(json.dumps(price))
    check = {
        "value": -1.3,
        "within": 0.03,
        "found": -1.317,
        "passed": True,
        "source": "Arnold (2013)",
    }
    (folder / "checks.json").write_text(json.dumps({f"{closures[0]}.coefficients.1": check}))
    provenance = {
        "closura": "0.1.0", "commit": "0123abc", "seed": 0,
        "versions": {"jax": "0.10.1", "numpy": "2.4.6"}, "device": "cpu",
        "seconds": {"truth": 12.25, "learn": 31.5}, "inputs": {"h1.nc": "sha256:" + 64 * "a"},
    }  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(provenance))
    (folder / "metrics.jsonl").write_text('{"event": "stage", "stage": "truth"}\n{"event": "st')


def _density(values: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    return np.exp(-0.5 * ((values - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))


def _column_pairs(count: int, pressure: np.ndarray, random: np.random.Generator) -> Pairs:
    levels = len(pressure)
    T = 250 + 40 * (pressure / 1000) + random.standard_normal((1, count, levels)).cumsum(1) * 0.3
    shape = np.exp(-(((pressure - 500) / 200) ** 2))
    swing = np.sin(np.arange(count) / 9)[:, None]
    heating = 1e-4 * shape * (1 + swing + 0.3 * random.standard_normal((count, 1)))
    moistening = -3e-8 * np.exp(-(((pressure - 800) / 120) ** 2)) * (1 + swing)
    time = np.arange(count, dtype=float) * 1200
    time[count // 2 :] += 1e6
    variables = {
        "T": Variable("T", "K", ("level",), "temperature"),
        "ZMDT": Variable("ZMDT", "K s-1", ("level",), "convective heating"),
        "ZMDQ": Variable("ZMDQ", "kg kg-1 s-1", ("level",), "convective moistening"),
    }
    targets = {"ZMDT": heating[None], "ZMDQ": moistening[None]}
    mass = np.gradient(pressure * 100) / 9.8 * np.linspace(0.4, 1.6, levels)
    return Pairs({"T": T}, targets, time, Passport("file"), variables, weights=mass)


def _column_closure(folder: Path, levels: int, index: int) -> None:
    """Write a matrix that answers with about the mean profile and a swing of its own."""
    pressure = np.linspace(20.0, 990.0, levels)
    heating = 1e-4 * np.exp(-(((pressure - 500) / (200 + 30 * index)) ** 2))
    moistening = -3e-8 * np.exp(-(((pressure - 800) / (120 + 20 * index)) ** 2))
    mean, ones = np.concatenate([heating, moistening]), np.ones(levels)
    random = np.random.default_rng(index)
    numbers = (270 * ones, 10 * ones, mean, abs(mean) + 1e-12, 250 * ones, 300 * ones)
    scaling = Scaling(*(jnp.asarray(number) for number in numbers))
    weights = np.repeat(0.2 * random.standard_normal((levels, 1)), 2 * levels, axis=1)
    features = Whole(read=(("T", (levels,)),), written=(("ZMDT", (levels,)), ("ZMDQ", (levels,))))
    save_closure(
        folder,
        LearnedClosure(features, scaling, Affine(jnp.asarray(weights), jnp.zeros(2 * levels))),
    )


def _column_scores(names, pressure, random) -> xr.Dataset:
    models = ["no closure", *names, "noise floor"]
    variables, sizes = ["ZMDT", "ZMDQ"], np.array([15, 30, 60, 121])
    shape = (len(models), 2, len(pressure))
    skill = 0.8 * np.exp(-(((pressure - 500) / 300) ** 2)) - 0.1 * np.arange(5)[:, None, None]
    skill = np.broadcast_to(skill, shape) + 0.05 * random.standard_normal(shape)
    skill[0], skill[-1] = -0.8 * skill[1], 0.03  # predicts zero; a standard error
    skill = np.where(pressure < 150, np.nan, skill)
    skill[3, 1, 12] = -7.5  # a level at which one model is far worse than the mean
    scale = np.array([1e-4, 3e-8])[:, None]
    along, column = ("model", "variable", "level"), ("model", "variable")
    found = xr.Dataset(
        {
            "r_squared": (along, skill),
            "rmse": (along, scale * np.sqrt(np.clip(1 - skill, 0.05, 2))),
            "bias": (along, scale * 0.1 * random.standard_normal(shape)),
            "column_r_squared": (column, skill[:, :, 10]),
            "column_rmse": (column, np.broadcast_to(scale[:, 0], shape[:2]) * 0.4),
            "column_bias": (column, scale[:, 0] * 0.05 * random.standard_normal(shape[:2])),
            "overall_r_squared": (column, skill[:, :, 10] - 0.05),
            "overall_rmse": (column, np.broadcast_to(scale[:, 0], shape[:2]) * 0.6),
            "learning_curve": (
                ("model", "variable", "size"),
                np.broadcast_to(skill[:, :, 10][..., None] - 6 / sizes, (5, 2, 4)),
            ),
        },
        {"model": models, "variable": variables, "level": pressure, "size": sizes,
         "units": ("variable", ["K s-1", "kg kg-1 s-1"])},
    )  # fmt: skip
    found["level"].attrs["units"] = "hPa"
    for name in list(found.data_vars):
        width = 0.12 if "squared" in str(name) else 0.2 * abs(found[name])
        found[f"{name}_lower"], found[f"{name}_upper"] = found[name] - width, found[name] + width
    return found
