"""Time means of a run with given parameters: what chaotic models are calibrated on."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from closura.core.calibrate import AbstractSimulator
from closura.core.model import AbstractModel, Snapshot
from closura.core.parameters import with_parameters
from closura.core.rollout import INITIAL
from closura.core.series import Series

Statistics = str | Sequence[str] | Callable[[Any], Any]


class TimeMeans(AbstractSimulator):
    """Statistics of a run averaged in time, or its variances; the run itself is never stored.

    Every call starts from another initial state, drawn by the model with the given parameters. A
    run that blows up costs as much as any other and gives NaN.

    Args:
        model: Any model. A parameter is named as a setting of the model, or of one of its closures;
            ``AR1Noise.phi`` names it where several have one of that name.
        duration: Length of the run that is averaged [time unit of the model].
        spinup: Length of the run before [time unit].
        every: Time between two states that count [time unit]; each step if None.
        statistics: ``"moments"``: the mean of every field, then of every product of two fields;
            ``"variances"``: the variance of every field in time and, unless `sites`, space; a list
            of products such as ``["X", "X*Y"]``; or a function from the fields to an array whose
            mean is taken. Before they are multiplied fields are averaged over blocks to the length
            of the shortest: for a ring of 320 beside one of 32 the means of ten points.
        sites: Whether every point counts as a statistic of its own, instead of their mean.
        windows: Number of equal parts of `duration`; each gives its statistics, one after the
            other.
        inputs: Time series that the model reads.
    """

    model: AbstractModel
    duration: float = eqx.field(static=True)
    spinup: float = eqx.field(static=True, default=0.0)
    every: float | None = eqx.field(static=True, default=None)
    statistics: Statistics = eqx.field(
        static=True, default="moments", converter=lambda s: tuple(s) if isinstance(s, list) else s
    )
    sites: bool = eqx.field(static=True, default=False)
    windows: int = eqx.field(static=True, default=1)
    inputs: Series | None = None

    def __check_init__(self):
        if self.windows < 1:
            raise ValueError(f"TimeMeans: windows is {self.windows}; it must be 1 or more.")
        if isinstance(self.statistics, str) and self.statistics not in ("moments", "variances"):
            raise ValueError(
                f"TimeMeans: statistics is {self.statistics!r}; it must be 'moments', 'variances', "
                "a list of products such as ['X', 'X*Y'], or a function of the fields."
            )
        every, counted = self._lengths()[1:]
        if every < 1 or counted < 1:
            raise ValueError("TimeMeans: duration and every must be positive.")
        if self.inputs is not None:
            spinup, every, counted = self._lengths()
            self.inputs.check_covers(0, spinup + every * counted * self.windows)

    def __call__(self, parameters: dict[str, Array], key: Array) -> Float[Array, "statistic"]:
        model = with_parameters(self.model, parameters)
        spinup, every, counted = self._lengths()
        present = None if self.inputs is None else self.inputs.at(0)
        begin = model.start(model.initial_state(jax.random.fold_in(key, INITIAL)), key, present)
        snapshot = _advance(model, begin, spinup, self.inputs, key)

        def one_window(snapshot: Snapshot, _: None) -> tuple[Snapshot, Array]:
            moments = self._start(model.fields(snapshot.state))

            def one_state(carry: Any, number: Array) -> tuple[Any, None]:
                snapshot, moments = carry
                snapshot = _advance(model, snapshot, every, self.inputs, key)
                seen = self._see(model.fields(snapshot.state))
                return (snapshot, _count_in(moments, seen, number + 1)), None

            carry, _ = lax.scan(one_state, (snapshot, moments), jnp.arange(counted))
            snapshot, moments = carry
            return snapshot, self._finish(moments, counted)

        last, found = lax.scan(one_window, snapshot, None, length=self.windows)
        alive = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(model.fields(last.state))]
        return jnp.where(jnp.stack(alive).all(), found.ravel(), jnp.nan)

    def _lengths(self) -> tuple[int, int, int]:
        """Return the steps of the spin-up, between two states, and the states of a window."""
        every = self.every or self.model.dt
        step = _whole("every", every, "the model's dt", self.model.dt)
        window = self.duration / self.windows
        name = "duration" if self.windows == 1 else "duration / windows"
        counted = _whole(name, window, "every", every)
        return _whole("spinup", self.spinup, "the model's dt", self.model.dt), step, counted

    def _see(self, fields: Any) -> list[Array]:
        if callable(self.statistics):
            return jax.tree.leaves(self.statistics(fields))
        named = fields if isinstance(fields, dict) else fields._asdict()
        if self.statistics == "variances":
            return list(named.values())
        products = self.statistics
        if products == "moments":
            names = list(named)
            pairs = [(a, b) for place, a in enumerate(names) for b in names[place:]]
            products = [*names, *("*".join(pair) for pair in pairs)]
        return _multiply(named, products)

    def _start(self, fields: Any) -> tuple[list[Array], list[Array]]:
        zero = jax.tree.map(jnp.zeros_like, self._see(fields))
        return zero, zero if self.statistics == "variances" else []

    def _finish(self, moments: tuple[list[Array], list[Array]], count: int) -> Array:
        means, squares = moments
        if self.statistics != "variances":
            plain = self.sites or callable(self.statistics)
            found = means if plain else [mean.mean() for mean in means]
        elif self.sites:
            found = [square / count for square in squares]
        else:
            pooled = zip(means, squares, strict=True)
            found = [square.mean() / count + mean.var() for mean, square in pooled]
        return jnp.concatenate([jnp.ravel(part) for part in found])


def _advance(model, snapshot: Snapshot, steps: int, inputs: Series | None, key: Array) -> Snapshot:
    def one_step(snapshot: Snapshot, _: None) -> tuple[Snapshot, None]:
        present = None if inputs is None else inputs.at(snapshot.step)
        return model.step(snapshot, present, key), None

    return lax.scan(one_step, snapshot, None, length=steps)[0]


def _count_in(
    moments: tuple[list[Array], list[Array]], seen: list[Array], number: Array
) -> tuple[list[Array], list[Array]]:
    """Return means, and sums of squared departures from them, with one more state (Welford)."""
    means, squares = moments
    after = [mean + (new - mean) / number for mean, new in zip(means, seen, strict=True)]
    if squares:
        three = zip(squares, seen, means, after, strict=True)
        squares = [s + (new - before) * (new - mean) for s, new, before, mean in three]
    return after, squares


def _multiply(fields: dict[str, Array], products: Sequence[str]) -> list[Array]:
    """Return products of fields, each averaged over blocks to the length of the shortest."""
    factors = [[name.strip() for name in product.split("*")] for product in products]
    missing = sorted({name for names in factors for name in names} - set(fields))
    if missing:
        raise ValueError(
            f"TimeMeans: the model has no field {missing[0]!r}; it has {', '.join(fields)}."
        )
    shortest = min((jnp.shape(field) for field in fields.values()), key=lambda s: (len(s), s))
    small = {name: _block_mean(name, field, shortest) for name, field in fields.items()}
    found = []
    for names in factors:
        product = small[names[0]]
        for name in names[1:]:
            product = product * small[name]
        found.append(product)
    return found


def _block_mean(name: str, field: Array, shape: tuple[int, ...]) -> Array:
    if field.shape == shape:
        return field
    fits = len(field.shape) == len(shape) == 1 and field.shape[0] % shape[0] == 0
    if not fits:
        raise ValueError(
            f"TimeMeans: {name} has shape {field.shape}, which does not divide into blocks of "
            f"{shape}; give a function of the fields as `statistics`."
        )
    return field.reshape(shape[0], -1).mean(axis=1)


def _whole(name: str, length: float, of: str, unit: float) -> int:
    count = round(length / unit)
    if abs(count * unit - length) > 1e-6 * unit:
        raise ValueError(
            f"TimeMeans: {name} is {length:g}, not a multiple of {of}, {unit:g}; "
            f"choose {max(count, 1) * unit:g}."
        )
    return count
