"""What a coarse model lacked along a run of the truth: runs to training pairs."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from closura.core.learner import Pairs
from closura.core.model import AbstractModel, AbstractODE
from closura.core.passport import Passport
from closura.data.border import TENDENCY, check_shapes, describe_variables, geography
from closura.data.finite import check_finite
from closura.data.increments import increments_to_pairs
from closura.data.recorded_pairs import recorded_to_pairs
from closura.data.units import tendency_units

Coarsen = Callable[[dict[str, Any]], dict[str, Any]]
Arrays = dict[str, np.ndarray]

SAMPLES_AT_ONCE = 8192  # states in memory at once: 17 MB for the 264 numbers of Lorenz-96
REMEDY = "pass coarsen= to say how one becomes the other, or give both the same grid (the same K)"


def diagnose(
    run: xr.Dataset,
    *,
    truth: AbstractModel | None = None,
    coarse: AbstractModel | None = None,
    target: str = "difference",
    coarsen: Coarsen | None = None,
    skip: float = 0.0,
    inputs: Any = None,
) -> Pairs:
    """Return the coarse fields along a run of the truth and the tendency that `coarse` lacks.

    With T the tendency of the truth, t that of `coarse` and C the coarse-graining operator:

    - ``"difference"``: [C(x(t + dt)) - C(x(t))] / dt - t(C(x(t))), dt the step of `coarse`. What
      a forward Euler step of `coarse` lacks to land on the truth.
    - ``"coupling"``: C(T(x)) - t(C(x)), the instantaneous term; for steppers of higher order.
    - ``"increments"``: what assimilation added per unit time, see `increments_to_pairs`; the run
      is then what `assimilate` returned, and no truth is needed.
    - ``"nudging"``: what a recorded closure saw and gave, from `simulate(..., recorded=True)`.

    Sign: tendency to add, the opposite of the U of Wilks (2005).

    Args:
        run: A run of the truth, dimensions (member, time, *dims); see `simulate`.
        truth: The model that made it; needed for ``"coupling"`` where the run holds all its
            variables but not their tendencies.
        coarse: The model to be corrected; an `AbstractODE` whose fields are its State. May be
            left out for increments and nudging.
        target: What to record: ``"difference"``, ``"coupling"``, ``"increments"``, ``"nudging"``.
        coarsen: Fields of the truth at one instant (a dictionary of arrays, of all variables in
            the run) to those of `coarse`. It must be linear, for it is applied to tendencies too,
            and written with `jax.numpy`. None takes the variables of the same name as they are.
        skip: Time to leave out at the start of increments or nudging [time units].
        inputs: What a nudged run was given; its calendar goes with the pairs.

    Returns:
        Pairs in time order, a series per member; targets in units of the field per time unit.

    Raises:
        ValueError: The run is not finite, does not hold what the target needs, has fields of
            another shape, is not saved evenly in time, or dt is no multiple of its interval.
        TypeError: `coarse` has no tendency.

    Reference:
        Wilks (2005), doi:10.1256/qj.04.03; Arnold et al. (2013), doi:10.1098/rsta.2011.0479.
    """
    if target == "increments":
        return increments_to_pairs(run, model=coarse, skip=skip)
    if target == "nudging":
        return recorded_to_pairs(run, model=coarse, skip=skip, inputs=inputs)
    if target not in ("difference", "coupling"):
        wanted = "'difference', 'coupling', 'increments' or 'nudging'"
        raise ValueError(f"target is {target!r}; it must be {wanted}.")
    if not isinstance(coarse, AbstractODE):
        raise TypeError(
            f"coarse is a {type(coarse).__name__}, which has no tendency to compare with the "
            "truth's; pass an AbstractODE, before it is coupled to anything."
        )
    return _missing_tendency(_laid_out(run), truth, coarse, target, coarsen)


def _missing_tendency(run: xr.Dataset, truth, coarse: AbstractODE, target: str, coarsen) -> Pairs:
    """Return what `coarse` lacks along a run that is laid out, over a step or at an instant."""
    operator = _Operator(run, coarse, coarsen)
    fields = operator.fields()
    state = eqx.filter_eval_shape(coarse.initial_state, jax.random.key(0))
    wanted = eqx.filter_eval_shape(coarse.fields, state)
    check_shapes(coarse, {n: a.shape[2:] for n, a in fields.items()}, wanted, remedy=REMEDY)
    check_finite(run, fields)
    if target == "difference":
        stride = _stride(run, coarse.dt)
        lacked = {n: (a[:, stride:] - a[:, :-stride]) / coarse.dt for n, a in fields.items()}
        fields = {name: a[:, :-stride] for name, a in fields.items()}
    else:
        lacked = operator.tendencies(truth)
    explained = _coarse_tendencies(coarse, fields)
    targets = {name: lacked[name] - explained[name] for name in fields}
    check_finite(run, targets, kind="target of ")
    passport = _passport(run, coarse, target, operator.name)
    return Pairs(
        inputs=fields,
        targets=targets,
        time=run["time"].values[: next(iter(fields.values())).shape[1]],
        passport=passport,
        variables=describe_variables(coarse),
        **geography(run, coarse),
        model=coarse,
        warnings=passport.disagreements(coarse),
    )


class _Operator:
    """The coarse-graining operator on the fields of a run, applied piece by piece in time."""

    def __init__(self, run: xr.Dataset, coarse: AbstractODE, coarsen: Coarsen | None):
        self.run, self.coarsen = run, coarsen
        self.wanted = tuple(variable.name for variable in coarse.variables)
        self.held = tuple(str(name) for name in run.data_vars if "time" in run[name].dims)
        self.states = tuple(name for name in self.held if not name.endswith(TENDENCY))
        missing = [name for name in self.wanted if name not in self.held]
        if coarsen is None and missing:
            nearest = get_close_matches(missing[0], self.states, n=1)
            guess = f" (nearest: {nearest[0]!r})" if nearest else ""
            raise ValueError(
                f"{type(coarse).__name__} has the variable {missing[0]!r} and the run holds "
                f"{', '.join(self.states)}{guess}; pass coarsen= to say how one becomes the other."
            )
        shared = f"identity on {', '.join(self.wanted)}"
        self.name = shared if coarsen is None else getattr(coarsen, "__name__", str(coarsen))

    def fields(self) -> Arrays:
        """Return C(x), shapes (member, time, *field)."""
        if self.coarsen is None:
            values = {name: self.run[name].values for name in self.wanted}
            return {n: np.asarray(a, np.result_type(a, np.float32)) for n, a in values.items()}
        return self._in_pieces(self._apply, self.states)

    def tendencies(self, truth: AbstractModel | None) -> Arrays:
        """Return C(T(x)), from what the run recorded, else from its full states."""
        source = self.wanted if self.coarsen is None else self.states
        recorded = tuple(name + TENDENCY for name in source)
        if all(name in self.held for name in recorded):
            plain = {name: name.removesuffix(TENDENCY) for name in recorded}
            return self._in_pieces(
                lambda rates: self._apply({plain[n]: a for n, a in rates.items()}), recorded
            )
        names = () if truth is None else tuple(variable.name for variable in truth.variables)
        if not isinstance(truth, AbstractODE) or any(name not in self.states for name in names):
            raise ValueError(self._no_tendency(truth, source, names))
        state = _state_maker(truth)
        ode = truth

        def lacked(values: dict[str, Any]) -> dict[str, Any]:
            return self._apply(ode.tendency(state(values))._asdict())

        return self._in_pieces(lacked, names)

    def _apply(self, fields: dict[str, Any]) -> dict[str, Any]:
        coarse = fields if self.coarsen is None else self.coarsen(fields)
        missing = [name for name in self.wanted if name not in coarse]
        if missing:
            raise ValueError(
                f"coarsen returns {', '.join(coarse) or 'nothing'}, and the coarse model wants "
                f"{', '.join(self.wanted)}; add {', '.join(missing)} to what it returns."
            )
        return {name: coarse[name] for name in self.wanted}

    def _in_pieces(self, function: Coarsen, names: tuple[str, ...]) -> Arrays:
        """Return a function of one instant over the whole run, reading a piece at a time."""
        length = max(1, SAMPLES_AT_ONCE // self.run.sizes["member"])
        pieces = [
            {n: self.run[n].isel(time=slice(begin, begin + length)).values for n in names}
            for begin in range(0, self.run.sizes["time"], length)
        ]
        return _joined([_over_samples(function, piece) for piece in pieces])

    def _no_tendency(self, truth, source: tuple[str, ...], names: tuple[str, ...]) -> str:
        recorded = ", ".join(name + TENDENCY for name in source)
        asked = ", ".join(repr(name) for name in source)
        absent = [name for name in names if name not in self.states]
        why = (
            "no truth is given" if truth is None
            else f"{absent[0]!r} of {type(truth).__name__} is not among its variables" if absent
            else f"{type(truth).__name__} has no tendency"
        )  # fmt: skip
        return (
            f"target 'coupling' needs the truth's tendency: the run holds no {recorded}, and "
            f"{why}; record it with simulate(..., tendencies=({asked},)), or keep all variables "
            "in the run and pass truth=."
        )


def _laid_out(run: xr.Dataset) -> xr.Dataset:
    """Return the run with dimensions (member, time, ...), evenly spaced and increasing."""
    if "time" not in run.dims or run.sizes["time"] < 2:
        raise ValueError(
            f"the run has dimensions {dict(run.sizes)}; diagnose wants 'time' of length 2 or more."
        )
    if "member" not in run.dims:
        run = run.expand_dims("member")
    gaps = np.diff(run["time"].values)
    if not np.allclose(gaps, gaps[0], rtol=1e-4) or gaps[0] <= 0:
        place = int(np.argmax(~np.isclose(gaps, gaps[0], rtol=1e-4)))
        raise ValueError(
            f"the run's times are not evenly spaced and increasing: {gaps[0]:g} apart at first, "
            f"{gaps[place]:g} after time {run['time'].values[place]:g}; diagnose runs one by one."
        )
    return run.transpose("member", "time", ...)


def _stride(run: xr.Dataset, dt: float) -> int:
    """Return the number of saved intervals in one coarse time step."""
    time = run["time"].values
    interval = float(time[-1] - time[0]) / (len(time) - 1)
    stride = round(dt / interval)
    if stride < 1 or not np.isclose(stride * interval, dt, rtol=1e-6):
        raise ValueError(
            f"target 'difference' is over the coarse time step dt = {dt:g}, and the run is saved "
            f"every {interval:g}, of which dt is no multiple; simulate the truth with "
            f"every={dt:g}, or use target='coupling'."
        )
    if stride >= len(time):
        raise ValueError(
            f"the coarse time step dt = {dt:g} is longer than the run, {time[-1] - time[0]:g}; "
            "simulate a longer one."
        )
    return stride


def _coarse_tendencies(coarse: AbstractODE, fields: Arrays) -> Arrays:
    """Return t(C(x)) for arrays (member, time, *field), a piece at a time."""
    state = _state_maker(coarse)
    members, times = next(iter(fields.values())).shape[:2]
    length = max(1, SAMPLES_AT_ONCE // members)

    def tendency(values: dict[str, Any]) -> dict[str, Any]:
        return coarse.tendency(state(values))._asdict()

    return _joined(
        [
            _over_samples(tendency, {n: a[:, b : b + length] for n, a in fields.items()})
            for b in range(0, times, length)
        ]
    )


def _state_maker(model: AbstractODE) -> Callable[[dict[str, Any]], Any]:
    """Return what turns a dictionary of fields into the model's State."""
    kind = type(jax.eval_shape(model.initial_state, jax.random.key(0)))
    return lambda values: kind(**{name: values[name] for name in kind._fields})


@eqx.filter_jit
def _mapped(function: Coarsen, values: dict[str, Any]) -> dict[str, Any]:
    return jax.vmap(jax.vmap(function))(values)


def _over_samples(function: Coarsen, values: Mapping[str, np.ndarray]) -> Arrays:
    return {n: np.asarray(a) for n, a in _mapped(function, dict(values)).items()}


def _joined(pieces: list[Arrays]) -> Arrays:
    return {name: np.concatenate([p[name] for p in pieces], axis=1) for name in pieces[0]}


def _passport(run: xr.Dataset, coarse: AbstractODE, target: str, operator: str) -> Passport:
    over_a_step = target == "difference"
    units = tuple((v.name, tendency_units(v.units, coarse.time_units)) for v in coarse.variables)
    return Passport(
        target=target,
        operator=operator,
        source=str(run.attrs.get("run", run.attrs.get("model", ""))),
        dt=float(coarse.dt) if over_a_step else None,
        stepper_order=1 if over_a_step else None,
        units=units,
        model=type(coarse).__name__,
    )
