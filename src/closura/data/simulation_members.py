"""The members of a simulation, in groups that run side by side, and which of them blew up."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.core.rollout import member_keys, rollout, start_members
from closura.data.blow_up import explain_blow_up, one_of
from closura.data.plan import Piece, Plan, Recorder
from closura.data.recording import ADDED

Arrays = dict[str, np.ndarray]


class Members:
    """Members in groups, each with its keys and the snapshot that it has reached."""

    def __init__(self, model, recorder: Recorder, plan: Plan, key, states, inputs):
        self.model, self.recorder = model, recorder
        self.first = None if inputs is None else inputs.at(0)
        keys = member_keys(jax.random.key(0) if key is None else key, plan.members)
        self.keys = [keys[group] for group in plan.groups()]
        self.states = [jax.tree.map(lambda a: a[..., g], states) for g in plan.groups()]  # noqa: B023
        self.snapshots: list[Any] = []
        self.blown_up: set[int] = set()
        self.blow_up = ""  # when, where and why, of the first
        self.spinup = plan.spinup
        self.groups = plan.groups()

    def start(self) -> None:
        """Begin at step 0."""
        self.snapshots = [self._begin(k, s) for k, s in zip(self.keys, self.states, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on: arrays alone, whatever classes hold them."""
        about = {"blown_up": sorted(self.blown_up), "blow_up": self.blow_up}
        return {**about, "leaves": jax.tree.leaves(self.snapshots)}

    def restore(self, reached: Mapping[str, Any]) -> None:
        """Go back to what `as_dict` returned; the structure is that of a fresh start."""
        shapes = [
            eqx.filter_eval_shape(start_members, self.model, k, states=s, inputs=self.first)
            for k, s in zip(self.keys, self.states, strict=True)
        ]
        self.snapshots = jax.tree.unflatten(jax.tree.structure(shapes), reached["leaves"])
        self.blown_up, self.blow_up = set(reached["blown_up"]), reached.get("blow_up", "")

    def nothing(self, times: int) -> Arrays:
        """Return what would be kept, without a number in it (zeros where the type has no NaN)."""
        first = self.first
        state = jax.tree.map(lambda a: a[..., 0], self.states[0])

        def instant(key: Array) -> Any:
            begin = self.model.initial_state(key) if state is None else state
            begun = self.model.start(begin, key, first)
            return self.recorder(self.model, begun, first)

        shapes = eqx.filter_eval_shape(instant, self.keys[0][0])
        members = sum(len(keys) for keys in self.keys)
        return {
            name: np.full(
                (members, times, *shapes[name].shape),
                np.nan if jnp.issubdtype(shapes[name].dtype, jnp.inexact) else 0,
                shapes[name].dtype,
            )
            for name in self.recorder.names
        }

    def _begin(self, keys: Array, states: Any) -> Any:
        return start_members(self.model, keys, states=states, inputs=self.first)

    def advance(self, piece: Piece, inputs: Any, pool: ThreadPoolExecutor | None) -> Arrays:
        """Advance every group and return the kept fields, (member, time, *dims)."""
        double = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]

        def one(index: int) -> tuple[Arrays, Any]:
            with jax.enable_x64(double):  # the setting may belong to the calling thread alone
                kept, last = rollout(
                    self.model, self.snapshots[index], piece.steps, every=piece.every,
                    inputs=inputs, key=self.keys[index], members=True, observe=self.recorder,
                )  # fmt: skip
                return {
                    n: np.moveaxis(np.asarray(kept[n]), -1, 0) for n in self.recorder.names
                }, last

        numbers = range(len(self.snapshots))
        done = list(pool.map(one, numbers) if pool else map(one, numbers))
        began, self.snapshots = self.snapshots, [last for _, last in done]
        parts = [kept for kept, _ in done]
        arrays = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        self._find_blown_up(arrays)
        if self.blown_up and not self.blow_up:
            self.blow_up = self._explain(began, piece, inputs)
        return arrays

    def _explain(self, began: list[Any], piece: Piece, inputs: Any) -> str:
        """Return when, where and why the first member that blew up did."""
        member = min(self.blown_up)
        index = next(i for i, group in enumerate(self.groups) if member < group.stop)
        within = member - self.groups[index].start
        return explain_blow_up(
            self.model, one_of(began[index], within), member=member, spinup=self.spinup,
            limit=piece.steps, inputs=inputs, key=self.keys[index][within : within + 1],
        )  # fmt: skip

    def _find_blown_up(self, arrays: Arrays) -> None:
        for name, values in arrays.items():
            if ADDED in name:  # of a closure that rides along it says nothing of the run
                continue
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            self.blown_up |= {int(number) for number in np.flatnonzero(~finite)}
