"""Random values where an experiment wants sections: each must end in one line, or load."""

from pathlib import Path

from hypothesis import strategies as st

from closura.experiment import load_experiment

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["Lorenz96", "Network", "type", "truth", "1e3", "network"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=6) | st.sampled_from(
        ["type", "name", "truth", "coarse", "data", "learners", "duration", "every", "files", "K",
         "evaluate", "expect", "seed", "cubic", "value"]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


def load_or_one_line(path: Path) -> None:
    try:
        load_experiment(path)
    except (ValueError, FileNotFoundError) as error:
        assert str(error), "an error without words"
        assert "\n" not in str(error), str(error)
