"""Training by several processes at once: each computes its share of every batch."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

AXIS = "process"

# (carried, samples, rows, settings, average over processes) -> what is carried on, and a result
Pass = Callable[[Any, Any, Any, Any, Callable[[Any], Any]], tuple[Any, Any, Array]]


def check_shares(learner: str, batch: int) -> None:
    """Raise ValueError unless the processes that run together can share a batch evenly."""
    count = jax.process_count()
    if batch % count:
        raise ValueError(
            f"{learner}: a batch of {batch} samples cannot be shared evenly by {count} processes; "
            f"use a batch of {max(1, batch // count) * count}, or another number of processes."
        )


def my_share(length: int) -> slice:
    """Return the part of so many things that is this process's own: all if it is alone."""
    each = length // jax.process_count()
    return slice(jax.process_index() * each, (jax.process_index() + 1) * each)


def shared(
    passed: Pass, carried: Any, samples: Any, rows: np.ndarray, settings: Any
) -> tuple[Any, Any, Array]:
    """Return what a pass over samples gives, compiled; by all processes together if there are more.

    Args:
        passed: The pass; what it averages is averaged over the processes.
        carried: What it changes; the same in every process.
        samples: Arrays with samples along the first axis; this process's own, as many as others'.
        rows: Which of them each update takes (update, batch share).
        settings: What it needs besides; the same in every process.
    """
    if jax.process_count() == 1:
        return _alone(passed, carried, samples, rows, settings)
    mesh = _mesh()

    def spread(values: Any, spec: PartitionSpec) -> Any:
        there = NamedSharding(mesh, spec)
        one = lambda a: jax.make_array_from_process_local_data(there, np.asarray(a))  # noqa: E731
        return jax.tree.map(lambda a: one(a) if eqx.is_array_like(a) else a, values)

    arrays, rest = eqx.partition(settings, eqx.is_array)
    found = _together(
        passed, spread(carried, PartitionSpec()), spread(samples, PartitionSpec(AXIS)),
        spread(rows, PartitionSpec(None, AXIS)), spread(arrays, PartitionSpec()), rest, mesh,
    )  # fmt: skip
    return jax.tree.map(lambda a: a.addressable_data(0), found)


@eqx.filter_jit
def _alone(passed: Pass, carried: Any, samples: Any, rows: Any, settings: Any) -> Any:
    return passed(carried, samples, rows, settings, lambda value: value)


@eqx.filter_jit
def _together(
    passed: Pass, carried: Any, samples: Any, rows: Any, arrays: Any, rest: Any, mesh: Mesh
) -> Any:
    def mine(carried: Any, samples: Any, rows: Any, arrays: Any) -> Any:
        settings = eqx.combine(arrays, rest)
        return passed(carried, samples, rows, settings, lambda value: lax.pmean(value, AXIS))

    everywhere, own = PartitionSpec(), PartitionSpec(AXIS)
    return jax.shard_map(
        mine, mesh=mesh, in_specs=(everywhere, own, PartitionSpec(None, AXIS), everywhere),
        out_specs=everywhere, check_vma=False,  # what is averaged is the same everywhere
    )(carried, samples, rows, arrays)  # fmt: skip


def _mesh() -> Mesh:
    """Return the first device of every process, in order."""
    first = {device.process_index: device for device in reversed(jax.devices())}
    devices = [first[index] for index in sorted(first)]
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)
