"""The price of each closure: a hybrid's time beside the coarse and the fine model's."""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax

import closura as cl
from benchmarks.data import coarse, pairs, truth
from benchmarks.measure import Candidate, alternate, cell, print_table, ratios, spread
from closura.core.rollout import member_keys, start_members

SAMPLE = 50_000  # coarse member-steps in one timed call
SHORTER = {"fine": 5, "forest": 25}  # what takes so long that a part of it is enough
COARSE, FINE = "coarse model, no closure", "fine model"


def closures() -> dict[str, Any]:
    """Return one closure of each kind, fitted quickly: only their cost matters here."""
    quick = {"features": cl.Stencil(radius=2), "width": 32, "epochs": 2}
    learners = {
        "cubic": cl.Polynomial(degree=3),
        "network 5-32-32-1 (online-tuned: the same)": cl.Network(**quick),
        "forest, 50 trees": cl.Forest(trees=50, features=cl.Stencil(radius=2)),
    }
    fitted = {name: one.fit(pairs(), key=jax.random.key(2)) for name, one in learners.items()}
    noise = cl.AR1Noise({"X": 0.986}, {"X": 1.99})  # of Arnold et al. (2013)
    return fitted | {"cubic + AR(1)": fitted["cubic"] + noise}


def models() -> dict[str, Any]:
    """Return what is timed, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a passport that does not fit costs nothing
        hybrids = {name: cl.couple(coarse(), one) for name, one in closures().items()}
    return {COARSE: coarse(), FINE: truth()} | hybrids


def candidate(name: str, model: Any, members: int, sample: int) -> Candidate:
    """Return a model that is run over a span of its time; compiled at the first call."""
    part = SHORTER.get(name.split()[0].strip(","), 1)
    span = max(1, sample // part // members) * coarse().dt
    steps = round(span / model.dt)
    if members == 1:
        key = jax.random.key(0)
        start = model.start(model.initial_state(key), key)
    else:
        key = member_keys(jax.random.key(0), members)
        start = start_members(model, key)
    run = partial(cl.rollout, model, start, steps, every=steps, key=key, members=members > 1)
    return Candidate(name, lambda: jax.block_until_ready(run()), members * span)


def measure(*, ensembles: Sequence[int] = (1, 256), sample: int = SAMPLE, repeats: int = 7) -> None:
    """Time every hybrid in turn with both models and print what each costs."""
    timed = models()
    rows = []
    for members in ensembles:
        seconds = alternate(
            [candidate(name, model, members, sample) for name, model in timed.items()], repeats
        )
        for name, values in seconds.items():
            over = (cell(ratios(seconds, name, other)) for other in (COARSE, FINE))
            rows.append((str(members), name, cell(spread(values), 1e6), *over))
    print_table(
        "Price of a closure: Lorenz-96, K = 8, coarse dt .005, fine J = 32 and dt .001, one core",
        ("members", "model", "µs per member and time unit", "over the coarse", "over the fine"),
        rows,
    )
