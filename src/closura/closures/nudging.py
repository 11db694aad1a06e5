"""Relaxation of a model toward a reference, as used to nudge a GCM to a reanalysis."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.closures.features import field
from closura.closures.tapers import Profile, as_tapers, make_profile
from closura.core.closure import AbstractMemorylessClosure
from closura.core.couple import ClosuraWarning
from closura.core.durations import duration
from closura.core.inputs import REFERENCE, named
from closura.grids.truncation import is_gaussian, truncate_total, truncate_zonal


class Nudging(AbstractMemorylessClosure):
    """Add (reference - state) / timescale to the variables that ``inputs["reference"]`` holds.

    Acting after the step over an interval dt (times `every`, which holds the tendency so long):

    - ``"exact"``: (1 - exp(-dt / timescale)) / dt (reference - state), what relaxation alone would
      do in that time; any timescale is stable. LMDZ's way.
    - ``"euler"``: (reference - state) / timescale, a forward step.

    Inside the tendency of an `AbstractODE` both are the second: the stepper integrates it.

    Recorded (``couple(model, nudging, at="step", record=True)``) it shows what the model lacks:
    `diagnose` makes training pairs of the state before nudging and this tendency. The nudged state
    stays away from the reference by about |missing tendency| * timescale.

    Args:
        timescale: Relaxation time [time unit], or text such as ``"6 hours"`` for a model whose
            time is in seconds; one for all variables of the reference, or by variable, and then
            the reference must hold these. `couple` makes numbers of texts.
        scheme: ``"exact"`` or ``"euler"``.
        taper: Where on the vertical it acts: an `AbstractTaper` or several, multiplied. Fields
            without levels, such as surface pressure, are not tapered.
        largest_wavenumber: Nudge only waves up to this number; all if None.
        wavenumber: Which number, ``"zonal"`` (around a circle of latitude; any grid that is even
            in longitude) or ``"total"`` (of spherical harmonics; a Gaussian grid).
        vectors: Names of the components of vectors. Before the total wave number is cut they are
            multiplied by the cosine of latitude, which makes them smooth at the poles.
        interval: Time that a tendency is added for at a stretch [time unit]. `couple` fills it in.
        profile: What the tapers mean on the model's levels. `couple` fills it in.
        cosine: Cosine of latitude, ``(lat, 1)``. `couple` fills it in.

    Raises:
        ValueError: A timescale is not positive, or too short for the step; or the model has no
            levels, or no grid, for what is asked.

    Reference:
        Hoke and Anthes (1976), Mon. Wea. Rev. 104, 1551-1556; for spectral nudging Waldron et
        al. (1996), Mon. Wea. Rev. 124, 529-547.
    """

    timescale: Any = eqx.field(converter=lambda value: _timescales(value))
    scheme: str = eqx.field(static=True, default="exact")
    taper: Any = eqx.field(default=(), converter=as_tapers)
    largest_wavenumber: int | None = eqx.field(static=True, default=None)
    wavenumber: str = eqx.field(static=True, default="total")
    vectors: tuple[str, ...] = eqx.field(static=True, default=("u", "v"))
    interval: float | None = None
    profile: Profile | None = None
    cosine: Float[Array, "lat 1"] | None = None

    def __check_init__(self):
        for name, allowed in (("scheme", ("exact", "euler")), ("wavenumber", ("zonal", "total"))):
            found = getattr(self, name)
            if found not in allowed:
                raise ValueError(
                    f"Nudging: {name} is {found!r}; it must be {' or '.join(allowed)}."
                )
        for name, said in self._named_timescales():
            value = duration(said, name=f"timescale{_of(name)}")
            if not 0 < value < math.inf:
                raise ValueError(
                    f"Nudging: the timescale{_of(name)} is {value:g}; relaxation needs a positive "
                    "time, e.g. '6 hours'. To leave a variable alone, leave it out."
                )

    def bind(self, model: Any, *, interval: float = 0.0) -> "Nudging":
        step = interval or model.dt
        known = self._in_units(model.time_units)
        if self.scheme == "euler" or interval == 0:
            known._check_step(step)
        cosine = self._cosine(model) if self.largest_wavenumber is not None else None
        profile = make_profile("Nudging", self.taper, model)
        return replace(known, interval=interval, profile=profile, cosine=cosine)

    def tendency(self, fields: Any, inputs: Any = None) -> dict[str, Array]:
        texts = [value for _, value in self._named_timescales() if isinstance(value, str)]
        if self.interval is None or texts:
            raise ValueError(
                "Nudging does not know the time step; couple it to a model, or give interval= and "
                "the timescale as numbers."
            )
        reference = named(inputs, REFERENCE, "Nudging")
        found = {}
        for name, timescale in self._chosen(fields, reference).items():
            value, wanted = field(fields, name), jnp.asarray(field(reference, name))
            if value.shape != wanted.shape:
                raise ValueError(
                    f"the reference of {name!r} has shape {wanted.shape} and the model "
                    f"{value.shape}; interpolate it to the model's grid."
                )
            departure = self._large_scales(name, wanted.astype(value.dtype) - value)
            found[name] = self._rate(timescale) * departure
        return found if self.profile is None else self.profile(found)

    def __repr__(self) -> str:
        said = ((n, v if isinstance(v, str) else f"{v:g}") for n, v in self._named_timescales())
        times = ", ".join(f"{name or 'all'} {value}" for name, value in said)
        scales = "" if self.largest_wavenumber is None else (
            f", {self.wavenumber} wave numbers up to {self.largest_wavenumber}"
        )  # fmt: skip
        tapers = "".join(f", {taper!r}" for taper in self.taper)
        return f"Nudging({times}; {self.scheme}{scales}{tapers})"

    def _in_units(self, units: str) -> "Nudging":
        """Return this nudging with timescales as numbers, in the unit of a model's time."""
        found = {
            name: duration(value, name=f"Nudging: the timescale{_of(name)}", time_units=units)
            for name, value in self._named_timescales()
        }
        several = isinstance(self.timescale, Mapping)
        return replace(self, timescale=found if several else found[""])

    def _named_timescales(self) -> list[tuple[str, Any]]:
        several = isinstance(self.timescale, Mapping)
        return list(self.timescale.items()) if several else [("", self.timescale)]

    def _chosen(self, fields: Any, reference: Any) -> dict[str, float]:
        """Return the timescale of each variable to nudge."""
        held, there = _names(reference), _names(fields)
        if not isinstance(self.timescale, Mapping):
            found = {name: self.timescale for name in there if name in held}
            if not found:
                raise ValueError(
                    f"the reference holds {', '.join(held)} and the model {', '.join(there)}: "
                    "there is nothing to nudge."
                )
            return found
        for name in self.timescale:
            for owner, names in (("model", there), ("reference", held)):
                if name not in names:
                    raise ValueError(
                        f"Nudging has a timescale for {name!r}, which the {owner} does not hold; "
                        f"it holds {', '.join(names)}."
                    )
        return dict(self.timescale)

    def _rate(self, timescale: float) -> float:
        if self.scheme == "euler" or not self.interval:
            return 1 / timescale
        return -math.expm1(-self.interval / timescale) / self.interval

    def _large_scales(self, name: str, departure: Array) -> Array:
        if self.largest_wavenumber is None:
            return departure
        if self.wavenumber == "zonal":
            return truncate_zonal(departure, self.largest_wavenumber)
        if name not in self.vectors or self.cosine is None:
            return truncate_total(departure, self.largest_wavenumber)
        cosine = self.cosine.astype(departure.dtype)
        return truncate_total(departure * cosine, self.largest_wavenumber) / cosine

    def _check_step(self, step: float) -> None:
        for name, timescale in self._named_timescales():
            if timescale < step / 2:
                raise ValueError(
                    f"Nudging: the timescale{_of(name)} is {timescale:g} and it acts over "
                    f"{step:g}: a forward step is unstable below {step / 2:g}. Take a longer one, "
                    "or scheme='exact' after the step."
                )
            if timescale < step and self.scheme == "euler":
                warnings.warn(
                    f"Nudging: the timescale{_of(name)} is {timescale:g} and it acts over "
                    f"{step:g}: a forward step overshoots the reference below {step:g}. Take a "
                    "longer one, or scheme='exact'.",
                    ClosuraWarning,
                    stacklevel=5,
                )

    def _cosine(self, model: Any) -> Array | None:
        """Return the cosine of latitude, after a look at whether the grid can be truncated."""
        if self.wavenumber == "zonal":
            return None
        latitude = np.asarray(model.coordinates.get("lat", ()), float)
        if latitude.size < 2 or not is_gaussian(latitude):
            raise ValueError(
                f"Nudging by total wave number wants a Gaussian grid, and {type(model).__name__} "
                f"has {latitude.size or 'no'} latitudes that are none; use wavenumber='zonal'."
            )
        return jnp.asarray(np.cos(np.radians(latitude)))[:, None]


def _timescales(value: Any) -> Any:
    """Return numbers as float, texts as they are."""
    if isinstance(value, Mapping):
        return {str(name): _timescales(v) for name, v in value.items()}
    return value if isinstance(value, str) else duration(value, name="timescale")


def _names(fields: Any) -> tuple[str, ...]:
    return tuple(fields) if isinstance(fields, Mapping) else tuple(fields._fields)


def _of(name: str) -> str:
    return f" of {name}" if name else ""
