"""A simulator that is no JAX: a Python function, which may run a program of any kind."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.calibrate import AbstractSimulator


class OnHost(AbstractSimulator):
    """Statistics from a Python function that JAX cannot see into, such as one that runs a program.

    It has no derivative: use it with calibrators that need none. An error in the function ends the
    calibration; where a single run may fail, let the function return NaN for it.

    Args:
        function: ``(parameters, seed) -> statistics``: NumPy arrays by name and an integer below 2^31,
            which differs from call to call; returns `size` numbers.
        size: Number of statistics.
        workers: Calls at a time, each in a thread of its own: as many as programs may run at once.
    """

    function: Callable[[dict[str, np.ndarray], int], Any] = eqx.field(static=True)
    size: int = eqx.field(static=True)
    workers: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        for name in ("size", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"OnHost: {name} is {getattr(self, name)}; it must be 1 or more.")

    def __call__(self, parameters: dict[str, Array], key: Array) -> Float[Array, "statistic"]:
        seed = jax.random.randint(key, (), 0, 2**31 - 1)
        kind = jnp.result_type(float)
        shape = jax.ShapeDtypeStruct((self.size,), kind)
        return jax.pure_callback(self._call, shape, parameters, seed, vmap_method="broadcast_all")

    def _call(self, parameters: dict[str, Any], seeds: Any) -> np.ndarray:
        """Call the function for one member, or for each of several along the first axis."""
        values = {name: np.asarray(value) for name, value in parameters.items()}
        seeds = np.asarray(seeds)
        if seeds.ndim == 0:
            return self._call_one(values, int(seeds))
        rows = [
            ({name: np.asarray(value[row]) for name, value in values.items()}, int(seed))
            for row, seed in enumerate(seeds)
        ]
        with ThreadPoolExecutor(self.workers) as pool:
            return np.stack(list(pool.map(lambda row: self._call_one(*row), rows)))

    def _call_one(self, values: dict[str, np.ndarray], seed: int) -> np.ndarray:
        found = np.asarray(self.function(values, seed), jnp.result_type(float))
        if found.shape != (self.size,):
            raise ValueError(
                f"OnHost: the function returned an array of shape {found.shape}; it must return "
                f"({self.size},), as `size` says."
            )
        return found
