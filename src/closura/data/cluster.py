"""Work handed to the workers of a Dask cluster, and the answers as they come."""

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cloudpickle
import jax
import jax.numpy as jnp


def spread_over(
    cluster: str, work: Callable[[Any], Any], tasks: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """Yield the number of each task and its answer, in the order in which they end.

    Args:
        cluster: Address of a Dask scheduler (``"tcp://..."``), or ``"local"``: a process a core
            of this computer.
        work: A function of a module, so that workers can import it.
        tasks: What it is called with; anything that pickles.

    Raises:
        ModuleNotFoundError: Dask distributed is not installed.
        ValueError: The address has no scheme.
        OSError: Nobody answers there.
    """
    try:
        import distributed
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"cluster={cluster!r} needs Dask distributed, which is not installed: "
            "pip install 'closura[distributed]', or leave cluster out."
        ) from missing
    with _client(distributed, cluster) as client:
        double = jnp.result_type(float) == jnp.float64
        futures = [
            client.submit(_work_on, work, cloudpickle.dumps(task), double, pure=False)
            for task in tasks
        ]
        numbers = {future.key: number for number, future in enumerate(futures)}
        for future in distributed.as_completed(futures):
            yield numbers[future.key], future.result()


def _work_on(work: Callable[[Any], Any], packed: bytes, double: bool) -> Any:
    """Unpack a task where numbers are as wide as at the sender's, else arrays lose digits."""
    with jax.enable_x64(double):
        return work(pickle.loads(packed))


@contextmanager
def _client(distributed: Any, cluster: str) -> Iterator[Any]:
    if cluster == "local":
        workers = os.cpu_count() or 1
        local = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
        with local, distributed.Client(local) as client:
            yield client
        return
    if "://" not in cluster:
        raise ValueError(
            f"cluster is {cluster!r}; wanted is 'local' or the address of a Dask scheduler, e.g. "
            "'tcp://10.0.0.1:8786'."
        )
    with distributed.Client(cluster) as client:
        yield client
