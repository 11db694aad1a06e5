"""What every test starts from: one thread, double precision, checked shapes, a warm compiler."""

import os

# Both are read when the libraries are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"

import resource
from collections.abc import Callable
from pathlib import Path

import jax
import jaxtyping
import pooch
import pytest

CACHE = Path(os.environ.get("CLOSURA_CACHE") or pooch.os_cache("closura")) / "jax"

MOST_KIBIBYTES = 2_000_000  # peak of this process from which on modules clean up after themselves

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# From here on every annotated shape and type of the package is checked at each call.
jaxtyping.install_import_hook("closura", "beartype.beartype")


@pytest.fixture(scope="module", autouse=True)
def _compiled_code_stays_bounded():
    """Let go of compiled programs after a module that left many: they fill the memory."""
    yield
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > MOST_KIBIBYTES:
        jax.clear_caches()


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs an accelerator where JAX sees none."""
    wanting = [item for item in items if "gpu" in item.keywords]
    if wanting and jax.default_backend() == "cpu":
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="JAX sees no accelerator here"))
