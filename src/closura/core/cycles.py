"""What an assimilation leaves behind, time by time."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int


class Cycles(NamedTuple):
    """What happened at each time of observation; fields are vectors here, time comes first.

    Attributes:
        forecast: Mean before the analysis.
        analysis: Mean after it.
        forecast_spread: Standard deviation of the members before it.
        analysis_spread: The same after it.
        predicted_spread: Standard deviation of the members' predictions of the observations.
        innovation: Observation minus prediction of the forecast's mean; NaN where missing.
        replaced: Number of members that were not finite and were drawn anew.
        members: Forecasts and analyses of all members, on the last axis; None unless kept.
        smoothed: Mean after the last revision, and its spread; None of solvers that do not look
            back.
        model_error: Mean of what was added on arrival at each time; None unless estimated.
        report: What the solver says of each analysis, by name; None if it says nothing.
    """

    forecast: Float[Array, "time state"]
    analysis: Float[Array, "time state"]
    forecast_spread: Float[Array, "time state"]
    analysis_spread: Float[Array, "time state"]
    predicted_spread: Float[Array, "time observation"]
    innovation: Float[Array, "time observation"]
    replaced: Int[Array, "time"]
    members: tuple[Array, Array] | None = None
    smoothed: tuple[Array, Array] | None = None
    model_error: Float[Array, "time state"] | None = None
    report: dict[str, Array] | None = None
