"""The states that an export repeats: real ones, then some between two, and it says so."""

import json
from dataclasses import replace

import numpy as np
import pytest

from closura.closures.features import Whole
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.export.ship import export_closure, summarise
from closura.export.states import count_states, say_states, spread_states
from closura.learners.linear import Linear

RISING = np.array([[[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]], [[10.0, 0.1], [20.0, 0.1], [40.0, 0.1]]])


def few(time=(0.0, 1.0, 2.0)) -> Pairs:
    """Two series of three instants of a field of two values, of which the second never changes."""
    given = {"calendar": {"day": np.array([5.0, 6.0, 7.0])}}
    return Pairs({"X": RISING}, {"X": RISING}, np.array(time), Passport("file"), given=given)


def test_real_states_come_first_and_the_rest_lies_between_two_neighbours():
    fields, given = spread_states([("X", (2,))], [few()], columns=1)
    first, second = fields["X"].T
    np.testing.assert_array_equal(first[:6], RISING[:, :, 0].ravel())
    between = first[6:]
    assert len(between) == 994
    # Four gaps between neighbours, 248 or 249 states in each, none at its ends and none twice.
    inside = [
        np.sum((between > a) & (between < b)) for a, b in ((1, 2), (2, 4), (10, 20), (20, 40))
    ]
    assert sum(inside) == 994 and min(inside) >= 248 and max(inside) <= 249
    assert len(np.unique(between)) == 994
    # What never changes is the same to the last bit, and the calendar is that of the first.
    assert set(second) == {5.0, 0.1}
    low = (between < 2) | ((between > 10) & (between < 20))
    np.testing.assert_array_equal(given["calendar"]["day"][6:], np.where(low, 5.0, 6.0))
    assert count_states([few()], 1) == {"real": 6, "between": 994}


def test_a_gap_in_the_record_is_no_neighbourhood():
    later = few(time=(0.0, 1.0, 9.0))  # nothing was recorded from 1 to 9
    first = spread_states([], [few((0.0, 1.0, 1.5)), later], columns=1)[0]["X"][12:, 0]
    # 988 states in six gaps: from 2 to 4 in the first pairs alone, from 1 to 2 in both.
    assert np.sum((first > 2) & (first < 4)) in (164, 165)
    assert 328 <= np.sum((first > 1) & (first < 2)) <= 330
    first = spread_states([], [later], columns=1)[0]["X"][6:, 0]
    assert np.all((first < 2) | ((first > 10) & (first < 20)))


def test_states_that_do_are_not_added_to():
    assert count_states([few()], 200) == {"real": 1000, "between": 0}
    assert len(spread_states([], [few()], columns=200)[0]["X"]) == 5
    assert count_states([few().at(slice(0, 1))], 1) == {"real": 2, "between": 0}  # no neighbours
    assert say_states({"real": 1000, "between": 0}) == "1000 recorded states"


@pytest.mark.parametrize("to", ["fortran", "onnx", "source", "stablehlo"])
def test_an_export_says_how_many_states_were_real(to, gfortran, pairs, key, tmp_path):
    some = replace(pairs, inputs={"X": pairs.inputs["X"]}).at(slice(0, 9))
    closure = Linear(Whole()).fit(some, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=some, to=to)
    told = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert told["states"] == figures["states"] == {"real": 18, "between": 982}
    assert figures["cases"] == 1000
    line = "1000 states repeated (18 real, all that the run holds, and 982 between two of these), "
    assert summarise(figures).startswith(line)
    page = (tmp_path / "out" / "README.md").read_text()
    assert "1000 states (18 recorded, 982 between two of these)" in " ".join(page.split())
