"""Closura learns what a numerical Earth-system model misses, and proves it in the running model."""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "core.variable": ("Variable",),
    "core.model": ("AbstractModel", "AbstractODE", "Snapshot"),
    "core.augment": ("augment",),
    "core.closure": ("AbstractClosure", "AbstractMemorylessClosure", "Sum", "Zero"),
    "core.calibrate": (
        "AbstractCalibrator",
        "AbstractSimulator",
        "Measurement",
        "Problem",
        "calibrate",
    ),
    "core.couple": ("ClosuraWarning", "couple"),
    "core.durations": ("days", "duration", "hours", "minutes", "seconds", "weeks"),
    "core.inputs": ("AbstractInputs", "Calendar", "Inputs", "Steady"),
    "core.learner": ("AbstractLearner", "Pairs"),
    "core.passport": ("Passport",),
    "core.posterior": ("AbstractPosterior", "Ensemble", "Gaussian", "Sampler"),
    "core.prior": (
        "AbstractMarginal",
        "LogNormal",
        "Normal",
        "Prior",
        "TruncatedNormal",
        "Uniform",
    ),
    "core.problem": ("AbstractMemorylessSolver", "AbstractSolver", "Observations"),
    "core.rollout": ("rollout",),
    "core.series": ("Series", "Yearly"),
    "core.on_host": ("OnHost",),
    "core.time_means": ("TimeMeans",),
    "core.windows": ("AbstractSmoother", "AbstractWindowSolver", "Revised", "Window"),
    "core.steppers": ("AB3", "AbstractStepper", "Euler", "RK2", "RK4", "as_stepper"),
    "models.lorenz63": ("Lorenz63",),
    "models.lorenz96": ("Lorenz96", "Lorenz96TwoScale"),
    "models.primitive_equations": ("PrimitiveEquations",),
    "closures.features": ("AbstractFeatures", "Stencil", "Whole"),
    "closures.atmosphere": ("Column", "ColumnNeighbourhood", "LatLonImage"),
    "closures.ensemble": ("ClosureEnsemble",),
    "closures.mesh": ("SphereMesh",),
    "closures.climatological": ("ClimatologicalTendency",),
    "closures.learned": ("LearnedClosure",),
    "closures.physical": ("PolynomialClosure",),
    "closures.stochastic": ("AR1Noise",),
    "closures.nudging": ("Nudging",),
    "closures.guards": ("AbstractGuard", "Damped", "Limited", "Tapered"),
    "closures.fallback": ("Fallback",),
    "closures.conserving": ("Conserving", "HumidityLimited"),
    "closures.novelty": (
        "AbstractDetector",
        "AbstractNovelty",
        "Guarded",
        "Mahalanobis",
        "MinMax",
    ),
    "closures.tapers": ("AbstractTaper", "Between", "BoundaryLayer", "Exponential", "Sponge"),
    "learners.boosted": ("BoostedTrees",),
    "learners.ensemble": ("LearnerEnsemble",),
    "learners.images": ("Graph", "UNet"),
    "learners.climatology": ("ClimatologicalCorrection",),
    "learners.linear": ("Linear", "Polynomial"),
    "learners.network": ("Network",),
    "learners.novelty": ("OneClassSVM",),
    "learners.forest": ("Forest",),
    "learners.noise": ("AR1", "White", "WithNoise"),
    "learners.online": ("Online",),
    "solvers.baselines": ("Climatology", "OptimalInterpolation", "Persistence", "ThreeDVar"),
    "solvers.emulate": ("CES",),
    "solvers.ensemble": ("ETKF", "DEnKF", "EnKF", "SerialEnSRF"),
    "solvers.finite_size": ("EnKFN",),
    "solvers.iterative": ("IEnKS",),
    "solvers.letkf": ("LETKF",),
    "solvers.particle": ("OptimalParticleFilter", "ParticleFilter"),
    "solvers.kalman_inversion": ("EKI", "ETKI"),
    "solvers.smoothers": ("EnKS",),
    "solvers.variational": ("FourDVar",),
    "solvers.langevin": ("ALDI", "EKS"),
    "solvers.markov": ("MCMC",),
    "solvers.maximum": ("MAP",),
    "solvers.neural": ("NPE", "NeuralPosterior"),
    "solvers.unscented": ("UKI",),
    "solvers.hybrid": ("HybridEnKF",),
    "solvers.inflation": ("AbstractInflation", "AdaptiveInflation"),
    "solvers.local_enkf": ("LocalEnKF",),
    "solvers.local_serial": ("LocalSerialEnSRF",),
    "data.assimilate": ("assimilate",),
    "data.observation_files": ("read_observations",),
    "data.observations": ("Observe", "observe"),
    "data.posterior": ("posterior_dataset",),
    "data.simulate": ("simulate",),
    "data.diagnose": ("diagnose",),
    "data.pairs": ("load_pairs", "read_pairs", "save_pairs"),
    "data.stored_series": ("read_series",),
    "data.sweep": ("sweep",),
    "data.store": ("open_run",),
    "data.closures": ("load_closure", "save_closure"),
    "evaluation.atmosphere": ("score_free_runs",),
    "evaluation.compare": ("evaluate",),
    "evaluation.free_runs": ("Lengths", "free_run"),
    "evaluation.learning_curve": ("learning_curve",),
    "evaluation.offline": ("score_offline",),
    "evaluation.price": ("measure_price",),
    "evaluation.running_means": ("statistics_of",),
    "evaluation.scores": ("Scores",),
    "export.ship": ("export_closure",),
    "experiment": ("load_experiment", "run_experiment"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Load the module that holds a public name when the name is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'closura' has no attribute {name!r}")
    return getattr(importlib.import_module(f"closura.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
