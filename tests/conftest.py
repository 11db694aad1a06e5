"""What every test starts from: one thread, double precision, checked shapes, a warm compiler."""

import os

# All are read when the libraries are first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import gc
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jaxtyping
import pooch
import pytest

from order import LongestFirst, longest_first

CACHE = Path(os.environ.get("CLOSURA_CACHE") or pooch.os_cache("closura")) / "jax"

MOST_KIBIBYTES = 2_000_000  # peak of this process at which compiled programs are let go
MORE_KIBIBYTES = 250_000  # by which the peak rises again before they are let go once more

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)  # for the processes that tests start

# From here on every annotated shape and type of the package is checked at each call.
jaxtyping.install_import_hook("closura", "beartype.beartype")


@pytest.fixture(scope="session")
def _limit() -> dict[str, int]:
    """The peak of memory at which compiled programs are let go next, in KiB."""
    return {"peak": MOST_KIBIBYTES}


@pytest.fixture(scope="module", autouse=True)
def _compiled_code_stays_bounded(_limit):
    """Let go of compiled programs after a module that left many: they fill the memory."""
    yield
    # The peak never falls: what is let go is used again.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if peak > _limit["peak"]:
        jax.clear_caches()
        _limit["peak"] = peak + MORE_KIBIBYTES


@pytest.fixture
def key() -> jax.Array:
    """The one random key that a test folds into."""
    return jax.random.key(0)


@pytest.fixture
def data_file() -> Callable[[str], Path]:
    """Find a public data file by name, or skip the test with the line that says where to put it."""
    from closura.data.fetch import fetch

    def find(name: str) -> Path:
        try:
            return fetch(name)
        except FileNotFoundError as absent:
            pytest.skip(str(absent))

    return find


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    """Hand out the longest files first."""
    return LongestFirst(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collection, which would look at it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest experiments; skip what needs an accelerator where JAX sees none."""
    if all("slow" in item.keywords for item in items):
        longest_first(items)
    wanting = [item for item in items if "gpu" in item.keywords]
    if wanting and jax.default_backend() == "cpu":
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="JAX sees no accelerator here"))
