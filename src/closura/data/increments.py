"""What assimilation kept adding to a model: analyses to training pairs."""

import numpy as np
import xarray as xr

from closura.core.learner import Pairs
from closura.core.model import AbstractModel
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.data.border import TENDENCY, geography
from closura.data.units import tendency_units


def increments_to_pairs(
    analysis: xr.Dataset, *, model: AbstractModel | None = None, skip: float = 0.0
) -> Pairs:
    """Return analyses and the increments that followed them, per unit time, as pairs.

    The forecast that the increment at t corrects began from the analysis at the time before, and
    gathered the model's error on the way. So the input is the analysis **before** the forecast,
    and the target the increment over the time between the two. Noise of the observations stands
    in the targets: fit on long runs, and expect a low R². Where members were kept each is a
    series of its own, from its own analysis; its increments then hold the inflation of the
    ensemble too, which those of the mean do not.

    Args:
        analysis: What `assimilate` returned.
        model: The model that was assimilated into, for learners that run it.
        skip: Time to leave out at the start, while the filter finds the truth [time units].

    Raises:
        ValueError: The Dataset holds no increments, too few times after `skip`, windows that
            moved on by more than one time, or members that the solver mixed or drew anew.
    """
    names = _find(analysis)
    analysis = analysis.isel(time=analysis["time"].values > skip)
    time = analysis["time"].values
    if len(time) < 3:
        raise ValueError(f"skip is {skip:g} and leaves {len(time)} times; 3 or more are wanted.")
    inputs: dict[str, np.ndarray] = {}
    targets: dict[str, np.ndarray] = {}
    variables: dict[str, Variable] = {}
    units = str(analysis["time"].attrs.get("units", "1"))
    for variable, name in names.items():
        inputs[variable] = _series(analysis[name.replace("increment", "analysis")])[:, :-1]
        added = _series(analysis[name])[:, 1:]
        targets[variable] = added / np.diff(time).reshape(1, -1, *(1,) * (added.ndim - 2))
        variables |= _described(analysis[name], variable, units)
    described = tuple((name, variables[name + TENDENCY].units) for name in names)
    passport = _passport(analysis, described)
    return Pairs(
        inputs, targets, time[:-1], passport,
        variables=variables, model=model, **geography(analysis),
    )  # fmt: skip


def _find(analysis: xr.Dataset) -> dict[str, str]:
    """Return the names of the increments by variable."""
    names = {
        str(analysis[name].attrs["variable"]): str(name)
        for name in analysis.data_vars
        if str(name).split("_")[0] == "increment"
    }
    if not names:
        raise ValueError(
            "target 'increments' needs what assimilate returned, and this Dataset holds no "
            f"'increment'; it holds {', '.join(map(str, analysis.data_vars))}."
        )
    if analysis.attrs.get("diverged"):
        raise ValueError(
            "the assimilation diverged, and its increments tell nothing of the model; repair the "
            f"filter first: {' '.join(analysis.attrs.get('warnings', ()))}"
        )
    shift = int(analysis.attrs.get("shift", 1))
    if shift > 1:
        raise ValueError(
            f"the windows of {analysis.attrs['solver']} moved on by {shift} times, so that not "
            "every forecast began from the analysis before it, and an increment holds the errors "
            "of several intervals; assimilate with shift=1 to learn from increments."
        )
    mixed = not int(analysis.attrs.get("keeps_members", 1))
    if mixed and any("member" in analysis[name].dims for name in names.values()):
        raise ValueError(
            f"{analysis.attrs['solver']} mixes or resamples its members, so that increment i does "
            "not lead from forecast i to an analysis of its own; assimilate without keep_members, "
            "or with a filter that does neither (rotation=False)."
        )
    return names


def _passport(analysis: xr.Dataset, units: tuple[tuple[str, str], ...]) -> Passport:
    about = analysis.attrs
    return Passport(
        target="increments",
        operator=f"identity on {', '.join(name for name, _ in units)}",
        source=f"{about['solver']} with {about['members']} members",
        dt=float(about["dt"]),
        units=units,
        model=str(about["model"]),
    )


def _series(array: xr.DataArray) -> np.ndarray:
    """Return values (series, time, *field), a series a member."""
    if "member" not in array.dims:
        array = array.expand_dims("member")
    return array.transpose("member", "time", ...).values


def _described(array: xr.DataArray, name: str, time_units: str) -> dict[str, Variable]:
    dims = tuple(str(dim) for dim in array.dims if dim not in ("member", "time"))
    units, about = str(array.attrs["units"]), str(array.attrs["long_name"])
    about = about.removeprefix("increment of ")
    rate = Variable(
        name + TENDENCY, tendency_units(units, time_units), dims, f"tendency of {about}"
    )
    return {name: Variable(name, units, dims, about), name + TENDENCY: rate}
