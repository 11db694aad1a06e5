"""A simulator that is no JAX: a Python function, which may run a program of any kind."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

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
        function: ``(parameters, seed) -> statistics``: arrays by name and an integer below 2^31,
            which differs from call to call; returns `size` numbers.
        size: Number of statistics.
        workers: Calls at a time, each in a thread of its own: as many as programs may run at once.
    """

    on_host: ClassVar[bool] = True

    function: Callable[[dict[str, np.ndarray], int], Any] = eqx.field(static=True)
    size: int = eqx.field(static=True)
    workers: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        for name in ("size", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"OnHost: {name} is {getattr(self, name)}; it must be 1 or more.")

    def __call__(self, parameters: dict[str, Array], key: Array) -> Float[Array, "statistic"]:
        several = {name: jnp.asarray(value)[..., None] for name, value in parameters.items()}
        return self.simulate_members(several, key)[:, 0]

    def simulate_members(
        self, parameters: dict[str, Array], key: Array
    ) -> Float[Array, "statistic member"]:
        """Return the statistics of every member; members are on the last axis of the parameters.

        Raises:
            ValueError: Called inside compiled code, or the function returns another size.
        """
        if any(isinstance(value, jax.core.Tracer) for value in (*parameters.values(), key)):
            raise ValueError(
                "OnHost: a Python function cannot run inside compiled code; use EKI, ETKI, UKI, "
                "EKS or ALDI, which call it between their updates."
            )
        values = {name: np.asarray(value) for name, value in parameters.items()}
        members = next(iter(values.values())).shape[-1]
        seeds = np.asarray(jax.random.randint(key, (members,), 0, 2**31 - 1))

        def one(member: int) -> np.ndarray:
            own = {name: np.asarray(value[..., member]) for name, value in values.items()}
            return self._call_one(own, int(seeds[member]))

        with ThreadPoolExecutor(self.workers) as pool:
            found = np.stack(list(pool.map(one, range(members))), axis=-1)
        return jnp.asarray(found)

    def _call_one(self, values: dict[str, np.ndarray], seed: int) -> np.ndarray:
        found = np.asarray(self.function(values, seed), float)
        if found.shape != (self.size,):
            raise ValueError(
                f"OnHost: the function returned an array of shape {found.shape}; it must return "
                f"({self.size},), as `size` says."
            )
        return found
