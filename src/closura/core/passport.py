"""How training pairs were measured, carried by every closure fitted on them."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Passport:
    """Where a closure's training data came from and what its output means.

    Args:
        target: What was recorded: ``"coupling"``, ``"difference"``, ``"increments"``,
            ``"nudging"``, ``"file"``.
        operator: How the fine state was made coarse, in words.
        source: Model or files that the truth came from.
        dt: Time step the target is defined over [time units of the model]; None if instantaneous.
        stepper_order: Order of the stepper that the target is exact for; None if any.
        units: Unit of each target, ``(name, unit)`` pairs; the sign is always "tendency to add".
        model: Class name of the coarse model the pairs were made for.
    """

    target: str
    operator: str = "identity"
    source: str = ""
    dt: float | None = None
    stepper_order: int | None = None
    units: tuple[tuple[str, str], ...] = ()
    model: str = ""

    def disagreements(self, model: Any) -> tuple[str, ...]:
        """Say in one line each how a model differs from what the pairs were measured for."""
        found = []
        dt = getattr(model, "dt", None)
        if self.dt is not None and dt is not None and not math.isclose(self.dt, dt, rel_tol=1e-9):
            found.append(
                f"the target '{self.target}' was measured over dt = {self.dt:g} and the model "
                f"steps by dt = {dt:g}; diagnose again with this model as `coarse`."
            )
        stepper = getattr(model, "stepper", None)
        order = getattr(stepper, "order", None)
        if self.stepper_order is not None and order is not None and order != self.stepper_order:
            found.append(
                f"the target '{self.target}' does not match the integrator: it is exact for a "
                f"stepper of order {self.stepper_order} and {type(model).__name__} uses "
                f"{type(stepper).__name__} (order {order}); use target='coupling', "
                "or step the coarse model with stepper='euler'."
            )
        if self.target == "coupling" and order == 1:
            found.append(
                "the target 'coupling' does not match the integrator: it is the instantaneous "
                f"term and {type(model).__name__} uses {type(stepper).__name__} (order 1), whose "
                "own error it leaves uncorrected; use target='difference'."
            )
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary of plain values, as written beside a stored closure."""
        return asdict(self) | {"units": [list(pair) for pair in self.units]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Passport":
        """Return the passport that `as_dict` described."""
        units = tuple((str(name), str(unit)) for name, unit in values.get("units", ()))
        return cls(**(values | {"units": units}))
