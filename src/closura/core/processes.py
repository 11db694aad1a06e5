"""Several processes that work as one: on one computer or on many."""

import os

import jax

ENVIRONMENT = ("CLOSURA_COORDINATOR", "CLOSURA_PROCESSES", "CLOSURA_PROCESS")


def distributed(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> int:
    """Join the other processes of this run, and return this one's number.

    Call it in every process before anything is computed, then run the same program in all of
    them: networks are trained together, each process reads and computes its share of every batch,
    and all end with the same closure. What is not given is taken from the environment variables
    CLOSURA_COORDINATOR, CLOSURA_PROCESSES and CLOSURA_PROCESS; without these JAX asks Slurm, Open
    MPI or Kubernetes.

    Args:
        coordinator: Address of the first process, with a free port, e.g. ``"10.0.0.1:9911"``.
        processes: Number of processes.
        process: Number of this one, from 0.

    Raises:
        ValueError: Some of the three are known and others not, or a number cannot be.
        RuntimeError: JAX has computed something already, or the others do not answer.
    """
    given = [coordinator, processes, process]
    told = [os.environ.get(name) for name in ENVIRONMENT]
    known = [own if own is not None else found for own, found in zip(given, told, strict=True)]
    missing = [name for name, value in zip(ENVIRONMENT, known, strict=True) if value is None]
    if len(missing) == len(known):
        jax.distributed.initialize()
        return jax.process_index()
    if missing:
        raise ValueError(
            f"{', '.join(missing)} is not set; give coordinator, processes and process to "
            "distributed(), set all three variables, or none of them under Slurm or Open MPI."
        )
    address, count, number = str(known[0]), _number(known, 1), _number(known, 2)
    if not 0 <= number < count:
        raise ValueError(
            f"process is {number} of {count} processes; they are numbered from 0 to {count - 1}."
        )
    if count > 1:
        jax.distributed.initialize(address, count, number)
    return number


def _number(known: list, place: int) -> int:
    try:
        return int(known[place])
    except ValueError:
        raise ValueError(
            f"{ENVIRONMENT[place]} is {known[place]!r}; it must be a whole number."
        ) from None
