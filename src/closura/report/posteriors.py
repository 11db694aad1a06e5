"""The posteriors of a run folder, as figures, summary and tables want them."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from closura.evaluation.posteriors import PRIOR
from closura.report.cast import COLOURS, Role
from closura.report.run_folder import RunFolder, dataset_in

PRIOR_ROLE = Role(PRIOR, "baseline", "#9a9a9a")


@dataclass(frozen=True)
class Posteriors:
    """What calibrators found.

    Args:
        found: The posterior of each calibrator that has run, by role.
        scores: Their scores, if they are made.
        measured: What was measured, if that has run.
    """

    found: dict[Role, xr.Dataset]
    scores: xr.Dataset | None
    measured: xr.Dataset | None

    @property
    def parameters(self) -> list[str]:
        """Labels of the parameters."""
        one = next(iter(self.found.values()))
        return [str(name) for name in one["parameter"].values]

    @property
    def truth(self) -> np.ndarray | None:
        """True parameters of a twin."""
        if self.measured is None or "truth" not in self.measured:
            return None
        return np.asarray(self.measured["truth"].values)

    def prior_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where the central interval of the prior begins and ends, by parameter."""
        if self.scores is None:
            draws = np.concatenate([found["draw"].values for found in self.found.values()], axis=1)
            return draws.min(axis=1), draws.max(axis=1)
        prior = self.scores.sel(calibrator=PRIOR)
        return prior["lower"].values, prior["upper"].values


def posteriors_of(run: RunFolder) -> Posteriors:
    """Read the posteriors in a run folder."""
    names = map(str, run.experiment.get("calibrators") or ())
    roles = [Role(name, "closure", COLOURS[i % len(COLOURS)]) for i, name in enumerate(names)]
    read = {role: dataset_in(run.path, f"{role.name}/posterior.nc", run.missing) for role in roles}
    found = {role: dataset for role, dataset in read.items() if dataset is not None}
    return Posteriors(found, run.scores, dataset_in(run.path, "measured.nc", run.missing))
