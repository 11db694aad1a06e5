"""The names that an experiment knows, by kind: one line plugs a class in."""

REGISTRY: dict[str, dict[str, str]] = {
    "models": {
        "Lorenz63": "closura.models.lorenz63:Lorenz63",
        "Lorenz96": "closura.models.lorenz96:Lorenz96",
        "Lorenz96TwoScale": "closura.models.lorenz96:Lorenz96TwoScale",
        "ShallowWater": "closura.models.shallow_water:ShallowWater",
    },
    "steppers": {
        "Euler": "closura.core.steppers:Euler",
        "RK2": "closura.core.steppers:RK2",
        "RK4": "closura.core.steppers:RK4",
        "AB3": "closura.core.steppers:AB3",
    },
    "closures": {
        "PolynomialClosure": "closura.closures.physical:PolynomialClosure",
        "AR1Noise": "closura.closures.stochastic:AR1Noise",
        "Zero": "closura.core.closure:Zero",
    },
    "features": {
        "Stencil": "closura.closures.features:Stencil",
        "Whole": "closura.closures.features:Whole",
        "Patch": "closura.closures.patch:Patch",
    },
    "learners": {
        "Linear": "closura.learners.linear:Linear",
        "Polynomial": "closura.learners.linear:Polynomial",
        "Network": "closura.learners.network:Network",
        "Forest": "closura.learners.forest:Forest",
        "AR1": "closura.learners.noise:AR1",
        "White": "closura.learners.noise:White",
        "WithNoise": "closura.learners.noise:WithNoise",
        "Online": "closura.learners.online:Online",
    },
    "solvers": {
        "Climatology": "closura.solvers.baselines:Climatology",
        "Persistence": "closura.solvers.baselines:Persistence",
        "OptimalInterpolation": "closura.solvers.baselines:OptimalInterpolation",
        "ThreeDVar": "closura.solvers.baselines:ThreeDVar",
        "EnKF": "closura.solvers.ensemble:EnKF",
        "DEnKF": "closura.solvers.ensemble:DEnKF",
        "ETKF": "closura.solvers.ensemble:ETKF",
        "SerialEnSRF": "closura.solvers.ensemble:SerialEnSRF",
        "EnKFN": "closura.solvers.finite_size:EnKFN",
        "LETKF": "closura.solvers.letkf:LETKF",
        "EnKS": "closura.solvers.smoothers:EnKS",
        "IEnKS": "closura.solvers.iterative:IEnKS",
        "FourDVar": "closura.solvers.variational:FourDVar",
        "LocalEnKF": "closura.solvers.local_enkf:LocalEnKF",
        "LocalSerialEnSRF": "closura.solvers.local_serial:LocalSerialEnSRF",
        "HybridEnKF": "closura.solvers.hybrid:HybridEnKF",
        "ParticleFilter": "closura.solvers.particle:ParticleFilter",
        "OptimalParticleFilter": "closura.solvers.particle:OptimalParticleFilter",
    },
    "priors": {
        "Normal": "closura.core.prior:Normal",
        "LogNormal": "closura.core.prior:LogNormal",
        "Uniform": "closura.core.prior:Uniform",
        "TruncatedNormal": "closura.core.prior:TruncatedNormal",
    },
    "calibrators": {
        "NPE": "closura.solvers.neural:NPE",
        "CES": "closura.solvers.emulate:CES",
        "EKI": "closura.solvers.kalman_inversion:EKI",
        "ETKI": "closura.solvers.kalman_inversion:ETKI",
        "UKI": "closura.solvers.unscented:UKI",
        "EKS": "closura.solvers.langevin:EKS",
        "ALDI": "closura.solvers.langevin:ALDI",
        "MAP": "closura.solvers.maximum:MAP",
        "MCMC": "closura.solvers.markov:MCMC",
    },
    "simulators": {
        "TimeMeans": "closura.core.time_means:TimeMeans",
    },
    "layouts": {
        "lmdz": "closura.data.lmdz:Lmdz",
    },
}

# What a class must derive from to stand under a kind.
CONTRACTS = {
    "models": "closura.core.model:AbstractModel",
    "steppers": "closura.core.steppers:AbstractStepper",
    "closures": "closura.core.closure:AbstractClosure",
    "features": "closura.closures.features:AbstractFeatures",
    "learners": "closura.core.learner:AbstractLearner",
    "solvers": "closura.core.problem:AbstractSolver",
    "priors": "closura.core.prior:AbstractMarginal",
    "calibrators": "closura.core.calibrate:AbstractCalibrator",
    "simulators": "closura.core.calibrate:AbstractSimulator",
    "layouts": "closura.data.layouts:AbstractLayout",
}
