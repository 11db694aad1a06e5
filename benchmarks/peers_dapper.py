"""DAPPER's filters on its own setting sakov2008, asked line by line; it imports DAPPER alone.

Started by another process with the Python that has DAPPER. Each line on standard input is a JSON
object (filter, settings, cycles, statistics); each answer is the line `=> seconds error`.
"""

import json
import sys
import time
from typing import Any

import dapper
import dapper.da_methods as methods
import numpy as np
from dapper.mods.Lorenz96.sakov2008 import HMM
from dapper.stats import Stats
from dapper.tools import progressbar

ASSESS = Stats.assess
ROUGH = {"EnKF": {"upd_a": "PertObs"}, "ETKF": {"upd_a": "Sqrt"}, "LETKF": {}}


def run(order: dict[str, Any]) -> tuple[float, float]:
    """Assimilate a twin of so many cycles and return seconds and the error in the second half."""
    HMM.tseq.T = order["cycles"] * HMM.tseq.dto
    dapper.set_seed(order.get("seed", 3000))
    truth, seen = HMM.simulate()
    name = order["filter"]
    kind = methods.LETKF if name == "LETKF" else methods.EnKF
    filter_ = kind(**ROUGH[name], **order["settings"])
    with_statistics = order["statistics"]
    Stats.assess = ASSESS if with_statistics else lambda *arguments, **named: None
    begin = time.perf_counter()
    filter_.assimilate(HMM, truth, seen, liveplots=False)
    seconds = time.perf_counter() - begin
    if not with_statistics:
        return seconds, float("nan")
    errors = filter_.stats.err.rms.a
    return seconds, float(np.mean(errors[len(errors) // 2 :]))


def main() -> None:
    """Answer one line after the other until there are no more."""
    progressbar.disable_progbar = True
    progressbar.disable_user_interaction = True
    print("=> ready", flush=True)
    for line in sys.stdin:
        seconds, error = run(json.loads(line))
        print(f"=> {seconds} {error}", flush=True)


if __name__ == "__main__":
    main()
