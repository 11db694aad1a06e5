"""The mean of closures leaves as a sum of its members, each a share of it."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.ensemble import ClosureEnsemble
from closura.closures.features import Stencil
from closura.closures.physical import PolynomialClosure
from closura.export.reading import read_container
from closura.export.ship import export_closure
from closura.learners.linear import Linear


@pytest.fixture
def alone(pairs):
    """The pairs with one field, as a model's own state would be."""
    return replace(pairs, inputs={"X": pairs.inputs["X"]})


@pytest.fixture
def members(alone, key):
    """Three closures that differ, one of them a mean itself."""
    linear = Linear(Stencil(radius=1)).fit(alone, key=key)
    pair = ClosureEnsemble((PolynomialClosure([1.0, -2.0]), PolynomialClosure([0.0, 0.5, 0.25])))
    return linear, pair, PolynomialClosure([3.0, 1.0])


@pytest.mark.parametrize("to", ["fortran", "onnx"])
def test_a_mean_is_what_its_members_say_over_their_number(to, gfortran, alone, members, tmp_path):
    figures = export_closure(ClosureEnsemble(members), tmp_path / "out", pairs=alone, to=to)
    assert figures["cases"] >= 1000
    X = np.array([-3.0, 0.5, 2.0, 7.0, 1.0, -0.25, 4.0])
    columns = np.stack([np.roll(X, 1), X, np.roll(X, -1)], axis=1)
    linear = np.asarray(members[0].tendency({"X": jnp.asarray(X)})["X"])
    pair = ((1 - 2 * X) + (0.5 * X + 0.25 * X**2)) / 2
    wanted = (linear + pair + 3 + X) / 3
    if to == "fortran":
        held = read_container(tmp_path / "out" / "learned.closura")
        assert [column.name for column in held.inputs] == ["X(-1)", "X(0)", "X(+1)"]
        found, allowed = held.predict(columns)[:, 0], 1e-12
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(tmp_path / "out" / "learned.onnx")
        kind = np.float64 if figures["precise"] else np.float32
        found = session.run(None, {"columns": columns.astype(kind)})[0][:, 0]
        allowed = 1e-5
    np.testing.assert_allclose(found, wanted, atol=allowed * np.abs(wanted).max())


def test_a_median_is_refused_in_one_line(alone, members, tmp_path):
    closure = ClosureEnsemble(members, combine="median")
    with pytest.raises(ValueError, match=r"^ClosureEnsemble cannot be shipped; what can be"):
        export_closure(closure, tmp_path / "out", pairs=alone)
    assert not (tmp_path / "out").exists()
