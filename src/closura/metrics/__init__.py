"""Scores: pure functions of forecast and truth as xarray objects."""

from closura.metrics.bootstrap import block_bootstrap
from closura.metrics.calibration import (
    calibration_ranks,
    expected_coverage,
    predictive_check,
    rank_uniformity,
    remaining_spread,
    tarp,
)
from closura.metrics.classifier import c2st
from closura.metrics.climatology import (
    hellinger,
    kolmogorov_smirnov,
    mean_difference,
    probability_density,
    shared_bins,
    variance_difference,
    wasserstein_1,
)
from closura.metrics.ensemble import (
    crps,
    rank_histogram,
    reliability_index,
    spread,
    spread_skill_ratio,
)
from closura.metrics.error import (
    anomaly_correlation,
    bias,
    mean_absolute_error,
    r_squared,
    root_mean_square_error,
)
from closura.metrics.spectra import autocorrelation, power_spectrum, wave_number_spectrum
from closura.metrics.stability import blow_up, drift, share_outside

__all__ = [
    "anomaly_correlation",
    "autocorrelation",
    "bias",
    "block_bootstrap",
    "blow_up",
    "c2st",
    "calibration_ranks",
    "crps",
    "drift",
    "expected_coverage",
    "hellinger",
    "kolmogorov_smirnov",
    "mean_absolute_error",
    "mean_difference",
    "power_spectrum",
    "predictive_check",
    "probability_density",
    "r_squared",
    "rank_histogram",
    "rank_uniformity",
    "reliability_index",
    "remaining_spread",
    "root_mean_square_error",
    "share_outside",
    "shared_bins",
    "spread",
    "spread_skill_ratio",
    "tarp",
    "variance_difference",
    "wasserstein_1",
    "wave_number_spectrum",
]
