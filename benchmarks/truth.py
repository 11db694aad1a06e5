"""Ensembles of the two-scale truth: closura beside NumPy and numba."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

import closura as cl
from benchmarks import peers_numba, peers_numpy
from benchmarks.measure import Candidate, alternate, cell, print_goal, print_table, ratios, spread
from closura.core.rollout import member_keys, start_members

LAW = {"K": 36, "J": 10, "F": 10.0, "h": 1.0, "b": 10.0, "c": 10.0}
DT = 0.001
ENSEMBLES = (1, 16, 256, 1000)
GROUP = 256  # members computed together: more fall out of a core's own cache
SAMPLE = 100_000  # member-steps in one timed call, a tenth of it for NumPy
AGREE = 1e-11  # largest difference after 100 steps, of numbers up to about 15
REFERENCE = "numba, one thread"


def model() -> Any:
    """Return the truth that is timed."""
    return cl.Lorenz96TwoScale(dt=DT, **LAW)


def begin(members: int) -> Any:
    """Return a snapshot of so many members, members last."""
    return start_members(model(), member_keys(jax.random.key(0), members))


def group_sizes(members: int, threads: int) -> list[int]:
    """Return the members in each group: at most `GROUP`, and one group a thread at least."""
    count = min(members, max(threads, -(-members // GROUP)))
    return [len(part) for part in np.array_split(np.arange(members), count)]


def closura_run(snapshot: Any, steps: int, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return X and Y, members last, after so many steps of groups in threads."""
    members = snapshot.state.X.shape[-1]
    ends = np.cumsum([0, *group_sizes(members, threads)])

    def advance(first: int, last: int) -> Any:
        with jax.enable_x64(True):  # the setting belongs to the calling thread
            group = snapshot._replace(
                state=jax.tree.map(lambda a: a[:, first:last], snapshot.state)
            )
            _, after = cl.rollout(model(), group, steps, every=steps, members=True)
            return jax.block_until_ready(after.state)

    with ThreadPoolExecutor(threads) as pool:
        states = list(pool.map(advance, ends[:-1], ends[1:]))
    return tuple(np.concatenate(parts, axis=-1) for parts in zip(*states, strict=True))


def numba_run(X: np.ndarray, Y: np.ndarray, steps: int, threads: int = 1) -> tuple:
    """Return X and Y, members first, after so many steps, members dealt out to threads."""
    X, Y = X.copy(), Y.copy()
    parts = zip(np.array_split(X, threads), np.array_split(Y, threads), strict=True)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: peers_numba.run(*part, steps, DT, *LAW.values()), parts))
    return X, Y


def differences(members: int, steps: int = 100) -> dict[str, float]:
    """Return the largest difference of each peer from closura after so many steps."""
    start = begin(members)
    X, Y = (np.asarray(a) for a in start.state)
    ours = closura_run(start, steps, threads=2)
    by_numpy = peers_numpy.run(X, Y, steps, DT, **LAW)
    by_numba = [a.T for a in numba_run(X.T, Y.T, steps)]
    found = {"NumPy": by_numpy, "numba": by_numba}
    return {
        name: max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
        for name, theirs in found.items()
    }


def candidates(members: int, cores: int, sample: int) -> list[Candidate]:
    """Return what is timed for one size of ensemble."""
    start = begin(members)
    X, Y = (np.asarray(a) for a in start.state)
    XT, YT = np.ascontiguousarray(X.T), np.ascontiguousarray(Y.T)
    steps, few = max(4, sample // members), max(2, sample // members // 10)
    found = [
        Candidate(REFERENCE, lambda: numba_run(XT, YT, steps), steps * members),
        Candidate("NumPy", lambda: peers_numpy.run(X, Y, few, DT, **LAW), few * members),
    ]
    if cores > 1 and members > 1:
        run = lambda: numba_run(XT, YT, steps, cores)  # noqa: E731
        found.append(Candidate(f"numba, {cores} threads", run, steps * members))
    run = lambda: closura_run(start, steps, cores)  # noqa: E731
    found.append(Candidate(_ours(members, cores), run, steps * members))
    if members == 1:
        alone = model().start(jax.tree.map(lambda a: a[..., 0], start.state))
        run = lambda: jax.block_until_ready(cl.rollout(model(), alone, steps, every=steps))  # noqa: E731
        found.append(Candidate("closura, no member axis", run, steps))
    if members >= 256:
        long = 5 * steps  # as in a real run, steps outweigh what is done once a run
        found.append(Candidate("cl.simulate", lambda: _simulate(members, long), long * members))
    return found


def _simulate(members: int, steps: int) -> Any:
    length = steps * DT
    return cl.simulate(
        model(), duration=length, every=length, members=members, key=jax.random.key(0)
    )


def _ours(members: int, cores: int) -> str:
    sizes = group_sizes(members, cores)
    return "closura" if len(sizes) == 1 else f"closura, {len(sizes)} groups of {max(sizes)}"


def measure(
    *, cores: int, ensembles: Sequence[int] = ENSEMBLES, sample: int = SAMPLE, repeats: int = 9
) -> None:
    """Check that all three agree, time them in turn, and print table and goals."""
    apart = differences(3)
    if not max(apart.values()) < AGREE:
        raise AssertionError(f"closura and its peers differ after 100 steps: {apart}")
    rows, goals = [], []
    for members in ensembles:
        timed = candidates(members, cores, sample)
        seconds = alternate(timed, repeats)
        for name, values in seconds.items():
            ratio = ratios(seconds, name, REFERENCE)
            rows.append(
                (str(members), name, f"{1e6 * min(values):.2f}", cell(spread(values), 1e6),
                 cell(ratio))
            )  # fmt: skip
        goals.append((members, seconds))
    print_table(
        f"Truth ensembles, two-scale Lorenz-96 (K = 36, J = 10, float64, RK4), {_plural(cores)}",
        ("members", "who", "best µs per member-step", "median (range)", "time over numba's"),
        rows,
    )
    print(f"\nLargest difference after 100 steps: {_listed(apart)}.\n")
    for members, seconds in goals:
        _print_goals(members, cores, seconds)


def _print_goals(members: int, cores: int, seconds: dict[str, list[float]]) -> None:
    ours = _ours(members, cores)
    if members == 1:
        slowest = max(min(seconds[n]) for n in seconds if n.startswith("closura"))
        print_goal(
            "at most 20 µs a step at one member", f"{1e6 * slowest:.1f} µs", holds=slowest <= 20e-6
        )
    if members == 256:
        limit = 1.0 if cores == 1 else 1 / cores
        ratio = ratios(seconds, ours, REFERENCE)
        wanted = f"at most {limit:g} of one-thread numba's time at 256 members on {_plural(cores)}"
        print_goal(wanted, f"median {ratio.median:.2f}", holds=ratio.median <= limit)


def _plural(cores: int) -> str:
    return "one core" if cores == 1 else f"{cores} cores"


def _listed(apart: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in apart.items())
