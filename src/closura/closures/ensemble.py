"""Several closures that answer as one."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from closura.core.closure import AbstractClosure, AbstractMemorylessClosure
from closura.core.passport import Passport

COMBINATIONS: dict[str, Callable] = {"mean": jnp.mean, "median": jnp.median}


class ClosureEnsemble(AbstractMemorylessClosure):
    """The mean or the median of what several closures say, at each point.

    Args:
        members: The closures; all act on the same fields, and none has a memory.
        combine: ``"mean"`` or ``"median"``.
    """

    members: tuple[AbstractClosure, ...]
    combine: str = eqx.field(static=True, default="mean")

    def __check_init__(self):
        if self.combine not in COMBINATIONS:
            raise ValueError(
                f"ClosureEnsemble: combine is {self.combine!r}; it must be one of "
                f"{', '.join(COMBINATIONS)}."
            )
        foreign = [m for m in self.members if not isinstance(m, AbstractMemorylessClosure)]
        if foreign or not self.members:
            what = type(foreign[0]).__name__ if foreign else "no member"
            raise ValueError(
                f"ClosureEnsemble has {what}; it combines one closure or more that are functions "
                "of the present fields alone, without memory or noise."
            )

    @property
    def passport(self) -> Passport | None:
        return self.members[0].passport

    def tendency(self, fields: Any, inputs: Any = None) -> dict[str, Array]:
        said = [member(fields, inputs, (), None)[0] for member in self.members]
        combine = COMBINATIONS[self.combine]
        return {name: combine(jnp.stack([s[name] for s in said]), axis=0) for name in said[0]}

    def extrapolates(self, fields: Any, inputs: Any = None) -> Array:
        """Return where any member that knows its training range lies outside it."""
        known = [m for m in self.members if hasattr(m, "extrapolates")]
        if not known:
            return jnp.zeros(1, bool)
        flags = [member.extrapolates(fields, inputs) for member in known]
        alike = [flag for flag in flags if flag.shape == flags[0].shape]
        return jnp.any(jnp.stack(alike), axis=0)

    def __repr__(self) -> str:
        return f"ClosureEnsemble({self.combine} of {len(self.members)}: {self.members[0]!r}, ...)"
