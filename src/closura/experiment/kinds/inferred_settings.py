"""The sections of an experiment that infers the parameters of a simulator."""

from typing import Annotated

from pydantic import Field, model_validator

from closura.experiment.specification import Name, Section, Skeleton, Spec

Count = Annotated[int, Field(ge=1)]


class Measured(Section):
    """What was measured: a run with known parameters (a twin), or the user's own numbers.

    Args:
        parameters: The truth of a twin: what is measured are statistics of a run with these.
        repeats: Further runs with the true parameters, more than there are statistics. The error
            of a twin is that of the difference between two runs: twice their covariance.
        inflation: Factor on the error's standard deviation, for what the model cannot do.
        values: Measured statistics, in the order of the simulator's; NaN, beside a variance, where
            one is missing.
        variance: Variances of their difference from statistics simulated with the true
            parameters, independent of each other.
        covariance: Or the whole covariance of that difference, a list of rows.
    """

    parameters: dict[str, float | list[float]] | None = None
    repeats: Annotated[int, Field(ge=2)] = 200
    inflation: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    values: list[float] | None = None
    variance: list[float] | None = None
    covariance: list[list[float]] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Measured":
        errors = [e for e in (self.variance, self.covariance) if e is not None]
        if (self.parameters is None) == (self.values is None):
            raise ValueError("give either parameters (a twin) or values (your own measurement)")
        if self.values is not None and len(errors) != 1:
            raise ValueError("values want their errors: give one of variance and covariance")
        if self.parameters is not None and errors:
            raise ValueError("the error of a twin is measured with repeats; remove the other one")
        return self


class Checking(Section):
    """How posteriors are held against the truth and against the measurement.

    Args:
        draws: Draws of each posterior that are kept.
        level: Probability that intervals are to cover.
        coverage: Number of truths drawn from the prior, each measured by a run of its own, on
            which the coverage of an amortised posterior is counted; 0 skips it.
        predictive: Draws of each posterior that are simulated for the posterior predictive check.
    """

    draws: Annotated[int, Field(ge=100)] = 4000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    coverage: Annotated[int, Field(ge=0)] = 200
    predictive: Annotated[int, Field(ge=0)] = 200


class InferredExperiment(Skeleton):
    """A simulator, a prior of its parameters, a measurement, and calibrators to compare."""

    simulator: Spec
    prior: dict[Name, Spec] = Field(min_length=1)
    measured: Measured
    calibrators: dict[Name, Spec] = Field(min_length=1)
    check: Checking = Checking()
    batch: Count = 128
