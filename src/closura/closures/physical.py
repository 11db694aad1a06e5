"""Closures that are written down: polynomials with given coefficients."""

from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.closures.features import AbstractFeatures, Stencil
from closura.core.closure import AbstractMemorylessClosure
from closura.core.passport import Passport

Exponents = tuple[tuple[int, ...], ...]


def monomials(features: int, degree: int) -> Exponents:
    """Return the exponents of all monomials up to a degree, ascending: 1, x, y, x^2, xy, y^2..."""
    found = []
    for total in range(degree + 1):
        for chosen in combinations_with_replacement(range(features), total):
            found.append(tuple(chosen.count(index) for index in range(features)))
    return tuple(found)


def evaluate_monomials(
    table: Float[Array, "sample feature"], exponents: Exponents
) -> Float[Array, "sample term"]:
    """Return every monomial for every sample, by multiplication alone (no `pow`)."""
    columns = []
    for powers in exponents:
        value = jnp.ones_like(table[:, 0])
        for index, power in enumerate(powers):
            for _ in range(power):
                value = value * table[:, index]
        columns.append(value)
    return jnp.stack(columns, axis=1)


class PolynomialClosure(AbstractMemorylessClosure):
    """A polynomial of a point (and its neighbours) as the tendency to add.

    For one input the value is c0 + c1 X + c2 X^2 + ..., by Horner's scheme.

    Args:
        coefficients: One per monomial, ascending degree. Sign: tendency to add, the opposite of
            the U of Wilks (2005) and Arnold et al. (2013), which they subtract.
        variable: The field that it reads and acts on, where `features` are not given.
        features: How the state is seen, for a stencil of several inputs.
        exponents: Exponents of each monomial; ascending powers of one input if not given.
        lower: Smallest inputs in training, if it was fitted.
        upper: Largest inputs in training, if it was fitted.
        origin: Passport of the pairs it was fitted on, if it was.

    Reference:
        Wilks (2005), Q. J. R. Meteorol. Soc. 131, 389-407, doi:10.1256/qj.04.03.
    """

    coefficients: Float[Array, "term"]
    variable: str = eqx.field(static=True)
    features: AbstractFeatures
    exponents: Exponents = eqx.field(static=True)
    lower: Float[Array, "feature"] | None
    upper: Float[Array, "feature"] | None
    origin: Passport | None = eqx.field(static=True)

    def __init__(
        self,
        coefficients: Any,
        *,
        variable: str = "X",
        features: AbstractFeatures | None = None,
        exponents: Exponents | None = None,
        lower: Any = None,
        upper: Any = None,
        origin: Passport | None = None,
    ):
        self.coefficients = jnp.asarray(coefficients, dtype=float)
        self.variable = variable
        alone = Stencil(radius=0, variables=(variable,), read=((variable, (-1,)),),
                        written=((variable, (-1,)),))  # fmt: skip
        self.features = alone if features is None else features
        self.exponents = (
            tuple((power,) for power in range(len(self.coefficients)))
            if exponents is None
            else exponents
        )
        self.lower = None if lower is None else jnp.asarray(lower)
        self.upper = None if upper is None else jnp.asarray(upper)
        self.origin = origin

    def __check_init__(self):
        if self.coefficients.ndim != 1 or len(self.coefficients) != len(self.exponents):
            raise ValueError(
                f"PolynomialClosure has coefficients of shape {self.coefficients.shape} for "
                f"{len(self.exponents)} monomials; give one number for each."
            )

    @property
    def passport(self) -> Passport | None:
        return self.origin

    def tendency(self, fields: Any, inputs: Any = None) -> dict[str, Array]:
        table = self.features.inputs(fields, inputs)
        coefficients = self.coefficients.astype(table.dtype)
        if self.exponents == tuple((power,) for power in range(len(self.exponents))):
            value = jnp.full_like(table[:, 0], coefficients[-1])
            for coefficient in coefficients[-2::-1]:
                value = value * table[:, 0] + coefficient
        else:
            value = evaluate_monomials(table, self.exponents) @ coefficients
        return self.features.outputs(value[:, None])

    def extrapolates(self, fields: Any, inputs: Any = None) -> Array:
        """Return, for each sample, whether any input lies outside the training range."""
        table = self.features.inputs(fields, inputs)
        if self.lower is None or self.upper is None:
            return jnp.zeros(table.shape[0], bool)
        return jnp.any((table < self.lower) | (table > self.upper), axis=1)

    def __repr__(self) -> str:
        if isinstance(self.coefficients, np.ndarray | jnp.ndarray):
            numbers = " ".join(f"{c:+.5g}" for c in np.asarray(self.coefficients)[:10])
            return f"PolynomialClosure({len(self.exponents)} coefficients, ascending: {numbers})"
        return f"PolynomialClosure({len(self.exponents)} coefficients)"
