"""Work handed to the workers of a Dask cluster, and the answers as they come."""

import os
import pickle
import warnings
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

    Where a worker dies, others do again what it was at, and a warning says so.

    Args:
        cluster: Address of a Dask scheduler (``"tcp://..."``), or ``"local"``: a process a core
            of this computer.
        work: A function of a module, so that workers can import it.
        tasks: What it is called with; anything that pickles.

    Raises:
        ModuleNotFoundError: Dask distributed is not installed.
        ValueError: The address has no scheme.
        OSError: Nobody answers there.
        RuntimeError: A task was lost with several workers, one after the other.
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
        workers = _workers(client)
        for future in distributed.as_completed(futures):
            workers = _told_of_lost(workers, client)
            try:
                answer = future.result()
            except distributed.KilledWorker as killed:
                raise RuntimeError(
                    f"{len(tasks)} tasks were handed to {cluster!r}, and the workers that tried "
                    f"number {numbers[future.key]} died one after the other, most likely for want "
                    "of memory; use fewer workers a computer, or a smaller task."
                ) from killed
            yield numbers[future.key], answer


def _workers(client: Any) -> set[str]:
    return set(client.scheduler_info(n_workers=-1)["workers"])


def _told_of_lost(before: set[str], client: Any) -> set[str]:
    """Warn of the workers that are not there any more, and return those that are."""
    now = _workers(client)
    for address in sorted(before - now):
        warnings.warn(
            f"the Dask worker {address} died; what it was at is done again by others.",
            stacklevel=3,
        )
    return now


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
