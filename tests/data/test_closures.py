"""Closures come back from their files as they were, bit for bit, or say in one line why not."""

import functools
import json
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.closures.learned import LearnedClosure, Scaling
from closura.core.passport import Passport
from closura.data.closures import load_closure, save_closure
from closura.data.description import fingerprint
from closura.nets.affine import Affine

PASSPORT = Passport("difference", "identity on X", "abc", dt=0.005, units=(("X", "1"),))


class Pair(NamedTuple):
    first: Any
    second: Any


class Mine(cl.AbstractMemorylessClosure):
    """A user's own closure, with a little of everything."""

    weights: jax.Array
    bits: jax.Array
    numbers: np.ndarray
    pair: Pair
    table: dict
    shape: Any
    count: int = eqx.field(static=True)
    limit: float = float("inf")

    def tendency(self, fields, inputs=None):
        return {"X": self.shape(self.weights * fields.X) * self.table["scale"][0]}


class Net(eqx.Module):
    """A user's own predictor around an Equinox network."""

    network: eqx.nn.MLP

    def __call__(self, values):
        return jax.vmap(self.network)(values)


def scaling(features: int) -> Scaling:
    numbers = np.random.default_rng(1)
    wide = [jnp.asarray(numbers.uniform(1, 2, n)) for n in (features, features, 1, 1, features)]
    return Scaling(*wide, wide[-1] + 5)


def learned(predictor) -> LearnedClosure:
    features = cl.Stencil(1, variables=("X",), read=(("X", (7,)),), written=(("X", (7,)),))
    return LearnedClosure(features, scaling(3), predictor, PASSPORT)


def closures() -> dict[str, cl.AbstractClosure]:
    key = jax.random.key(0)
    weights = jax.random.normal(key, (3, 1), jnp.float32)
    network = eqx.nn.MLP(3, 1, 5, 2, activation=jax.nn.relu, key=key)
    polynomial = cl.PolynomialClosure([0.1, -1 / 3, 1e-300], origin=PASSPORT)
    noise = cl.AR1Noise({"X": 0.9}, {"X": jnp.asarray(1 / 3)}, PASSPORT)
    mine = Mine(
        jnp.asarray([1.0, 1 / 3, np.nan, -0.0, 5, 6, 7]), jnp.asarray([1.5, -2.5], jnp.bfloat16),
        np.arange(5, dtype=np.int16), Pair(None, (1, 2.5, "text", True)),
        {"scale": [1 / 3], "two": np.float32(0.1)}, functools.partial(jnp.power, jnp.float64(2)), 3,
    )  # fmt: skip
    return {
        "affine": learned(Affine(weights, jnp.zeros(1, jnp.float32))),
        "network": learned(Net(network)),
        "polynomial": polynomial,
        "noise": noise,
        "sum": polynomial + noise,
        "mine": mine,
        "zero": cl.Zero(),
    }


@pytest.mark.parametrize("name", list(closures()))
def test_round_trip_is_exact(name, tmp_path):
    closure = closures()[name]
    found = load_closure(save_closure(tmp_path, closure))
    assert type(found) is type(closure)
    assert jax.tree.structure(found) == jax.tree.structure(closure) or name == "mine"
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(closure), strict=True):
        assert type(one) is type(other)
        if hasattr(one, "dtype"):
            assert one.dtype == other.dtype
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
        else:
            assert one is other or one == other or isinstance(one, functools.partial)
    assert found.passport == closure.passport
    assert fingerprint(found) == fingerprint(closure)


@pytest.mark.parametrize("name", ["affine", "network", "polynomial", "mine"])
def test_loaded_closure_gives_the_same_tendency(name, tmp_path):
    closure = closures()[name]
    found = load_closure(save_closure(tmp_path, closure))
    state = cl.Lorenz96(K=7).initial_state(jax.random.key(2))
    one, other = closure.tendency(state), found.tendency(state)
    np.testing.assert_array_equal(one["X"], other["X"])


def test_loaded_closure_compiles_to_what_was_compiled(tmp_path):
    traced = []

    @eqx.filter_jit
    def tendency(closure, state):
        traced.append(1)
        return closure.tendency(state)["X"]

    closure = closures()["network"]
    state = cl.Lorenz96(K=7).initial_state(jax.random.key(2))
    first = tendency(closure, state)
    second = tendency(load_closure(save_closure(tmp_path, closure)), state)
    assert len(traced) == 1
    np.testing.assert_array_equal(first, second)


def test_description_can_be_read_by_people(tmp_path):
    save_closure(tmp_path, closures()["affine"])
    about = json.loads((tmp_path / "closure.json").read_text())
    assert about["closure"] == "LearnedClosure"
    assert about["parameters"] == 3 + 1 + 4 * 3 + 2
    assert about["passport"]["target"] == "difference"
    assert about["description"]["class"] == "closura.closures.learned:LearnedClosure"


def test_lambda_is_refused_with_its_place(tmp_path):
    closure = eqx.tree_at(lambda c: c.shape, closures()["mine"], lambda x: x)
    with pytest.raises(TypeError, match=r"^Mine\.shape is the function '<lambda>', which a file"):
        save_closure(tmp_path, closure)


def test_class_inside_a_function_is_refused(tmp_path):
    class Local(cl.Zero):
        pass

    with pytest.raises(TypeError, match="cannot be imported from"):
        save_closure(tmp_path, Local())


def test_what_is_no_closure_is_refused(tmp_path):
    with pytest.raises(TypeError, match="save_closure got a int; it wants a closure"):
        save_closure.__wrapped__(tmp_path, 3)  # behind the type checker of the tests


def edited(folder, change) -> None:
    file = folder / "closure.json"
    about = json.loads(file.read_text())
    change(about)
    file.write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.update(format=99, closura="9.0"),
            r"written by closura 9\.0 in format 99.*pip",
        ),
        (lambda a: a.pop("format"), "was not written by closura"),
        (lambda a: a.pop("description"), "is damaged"),
        (lambda a: a["description"].update({"class": "os:system"}), "cannot be imported here"),
        (lambda a: a["description"].update({"class": "pathlib:Path"}), "no equinox.Module"),
        (lambda a: a["description"].update({"class": "gone.away:It"}), "install the package"),
        (lambda a: a["description"]["fields"].pop("features"), "missing: features"),
        (lambda a: a["description"]["fields"].update(odd=1), "unknown: odd"),
        (
            lambda a: a["description"]["fields"].update(predictor={"function": "os:system"}),
            "'os:system' is a function of a package",
        ),
        (lambda a: a["description"]["fields"].update(scaling={"strange": 1}), "no part of"),
        (lambda a: a["arrays"].update(count=1), "damaged"),
        (lambda a: a.update(description={"tuple": []}), "holds a tuple, which is not a closure"),
    ],
)
def test_damaged_or_foreign_description_is_one_clear_line(change, message, tmp_path):
    save_closure(tmp_path, closures()["affine"])
    edited(tmp_path, change)
    with pytest.raises(ValueError, match=message) as caught:
        load_closure(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_arrays_are_noticed(tmp_path):
    save_closure(tmp_path, closures()["affine"])
    file = tmp_path / "closure.eqx"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(
        ValueError, match=r"closure\.eqx is not the file that closure\.json describes"
    ):
        load_closure(tmp_path)


def test_missing_and_unreadable_files_are_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no closure: closure\.json is missing"):
        load_closure(tmp_path)
    save_closure(tmp_path, cl.Zero())
    (tmp_path / "closure.json").write_text("{half")
    with pytest.raises(ValueError, match="is damaged: it is not JSON"):
        load_closure(tmp_path)


def test_double_precision_closure_asks_for_double_precision(tmp_path):
    save_closure(tmp_path, closures()["polynomial"])
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        load_closure(tmp_path)
