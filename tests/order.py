"""The order in which tests are handed out, so that no process waits for another at the end."""

import pytest
from xdist.scheduler import LoadFileScheduling

# Files that look at the same run, which takes a process long to make: one process has them all.
TOGETHER = {
    "tests/experiment/test_shipping.py": "tests/experiment/test_run.py",
    "tests/experiment/test_stale.py": "tests/experiment/test_run.py",
    "tests/report/test_words.py": "tests/report/test_page.py",
}
A_TEST = 0.15  # [s] what a test takes, where nothing else is known of its file
SECONDS = {  # what the longest files take on one core, with what they compile in the cache
    "tests/experiment/test_run.py": 50,
    "tests/solvers/test_neural.py": 32,
    "tests/export/test_targets.py": 28,
    "tests/report/test_page.py": 27,
    "tests/models/test_primitive_equations.py": 25,
    "tests/test_benchmarks.py": 20,
    "tests/data/test_restart.py": 14,
    "tests/experiment/test_nudged.py": 14,
    "tests/experiment/test_nudged_again.py": 12,
    "tests/laws/test_calibrators.py": 12,
    "tests/learners/test_stream.py": 12,
    "tests/test_cli.py": 12,
    "tests/experiment/test_files.py": 8,
    "tests/evaluation/test_price.py": 7,
    "tests/data/test_sweep_settings.py": 7,
    "tests/export/test_sphere.py": 6,
    "tests/experiment/test_lmdz.py": 6,
}
# Of the slow tests these take minutes each, the longest first.
MINUTES = (
    "expects[heldsuarez_twin]",
    "expects[correct_to_climatology]",
    "shape_of_held_and_suarez",
    "a_bump_grows_into_a_wave",
    "expects[infer_lorenz96]",
    "expects[sakov2008]",
    "says_why_not[heldsuarez_twin]",
    "expects[thermal_control]",
    "as_well_as_the_best_number",
    "expects[bocquet2010]",
)


class LongestFirst(LoadFileScheduling):
    """Hand out whole files, those that take longest first."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return TOGETHER.get(file, file)

    def _assign_work_unit(self, node: object) -> None:
        def length(file: str) -> float:
            return SECONDS.get(file, A_TEST * len(self.workqueue[file]))

        self.workqueue.move_to_end(max(self.workqueue, key=length), last=False)
        super()._assign_work_unit(node)


def longest_first(items: list[pytest.Item]) -> None:
    """Let each half of the items begin with its share of the longest: two processes get a half."""

    def rank(item: pytest.Item) -> int:
        return next((n for n, name in enumerate(MINUTES) if name in item.nodeid), len(MINUTES))

    ranked = sorted(items, key=rank)
    long = [item for item in ranked if rank(item) < len(MINUTES)]
    short = ranked[len(long) :]
    room = len(items) // 2 - len(long[::2])
    items[:] = [*long[::2], *short[:room], *long[1::2], *short[room:]]
