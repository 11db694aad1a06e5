"""The file format: what is written is read back, and every damage is found."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from closura.export.activations import ACTIVATION_CODES
from closura.export.container import Column, Container, to_bytes, with_checksum, write_container
from closura.export.onnx import with_graph
from closura.export.operations import (
    Add,
    Clip,
    Dense,
    Noise,
    Polynomial,
    Restore,
    Select,
    Standardise,
    TreeRounds,
    Trees,
)
from closura.export.reading import from_bytes, read_container
from closura.nets.mlp import ACTIVATIONS
from shipped import network, novelties, on_grid, rounds, support_vectors

# Node 0 asks feature 1; its children are the leaves 1 and 2 with the values (1, 2) and (3, 5).
TREE = Trees(
    inputs=2,
    roots=np.array([0]),
    feature=np.array([1, 0, 1]),
    left=np.array([1, 1, 2]),
    threshold=np.array([0.5, 0, 0], np.float32),
    values=np.array([[1, 2], [3, 5]], np.float32),
    divisor=2.0,
)
EVERY = (
    Select(np.array([2, 0])),
    Standardise(np.array([1.0, 2.0]), np.array([3.0, 4.0])),
    Dense(np.array([[1, 2, 3], [4, 5, 6]], np.float32), np.array([7, 8, 9], np.float32), "gelu"),
    Dense(np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]), np.array([0.7, 0.8])),
    Restore(np.array([5.0, 6.0]), np.array([7.0, 8.0])),
    Add(np.array([0, 1])),
    Select(np.array([1, 2])),
    TREE,
    Add(np.array([1, 0])),
    Select(np.array([1])),
    Polynomial(np.array([[0], [2]]), np.array([[3.0], [0.5]])),
    Add(np.array([1])),
    Select(np.array([2, 1])),
    rounds(np.random.default_rng(3), each=2, count=6),
    Clip(np.array([0.0, -1.0]), np.array([1.0, 0.5])),
    *novelties(),
    support_vectors(),
    Add(np.array([1, 0])),
    Noise(np.array([1, 0]), np.array([0.5, 0.25]), np.array([2.0, 3.0])),
)


@pytest.fixture
def container():
    names = (("T", "K"), ("q", "kg kg-1"), ("ρ", "kg m-3"))
    return Container(
        inputs=tuple(Column(*pair) for pair in names),
        outputs=(Column("T", "K s-1"), Column("q", "kg kg-1 s-1")),
        operations=EVERY,
        lower=np.array([-1.0, -2.0, -3.0]),
        upper=np.array([1.0, 2.0, 3.0]),
        missing="zero",
        precise=True,
        about={"source": "a test"},
    )


def test_what_is_written_is_read_back(container):
    found = from_bytes(to_bytes(container))
    assert (found.inputs, found.outputs) == (container.inputs, container.outputs)
    assert found.precise
    assert (found.missing, found.about, found.memory) == ("zero", {"source": "a test"}, 2)
    np.testing.assert_array_equal(found.upper, container.upper)
    assert to_bytes(found) == to_bytes(container)
    columns, memory = np.array([[0.3, -0.2, 0.7]]), np.array([[10.0, 20.0]])
    np.testing.assert_array_equal(
        found.predict(columns, memory), container.predict(columns, memory)
    )


def test_operations_do_what_they_say(container):
    told = (*EVERY[6:12], EVERY[-1])
    found = Container(container.inputs, container.outputs, told)
    # Inputs 2 and 3 are (3, 0.7): 0.7 > 0.5 leads to the second leaf, (3, 5) / 2, added to
    # outputs 2 and 1; the polynomial of the second is 3 + 0.5 * 9; noise adds 10 and 20.
    wanted = np.array([[5 / 2 + 20, 3 / 2 + 7.5 + 10]])
    memory = np.array([[10.0, 20.0]])
    np.testing.assert_allclose(found.predict(np.array([[9.0, 3.0, 0.7]]), memory), wanted)


def test_boosted_trees_add_each_tree_to_its_output():
    # Node 0 of tree 0 asks feature 0, of tree 1 feature 1; leaves are 1, 2 and 10, 20; then again.
    links = (np.array([0, 3, 6, 9]), np.array([0, 0, 1, 1, 2, 3, 0, 4, 5, 1, 6, 7]))
    left = np.array([1, 1, 2, 4, 4, 5, 7, 7, 8, 10, 10, 11])
    threshold = np.where(left > np.arange(12), 0.5, 0).astype(np.float32)
    values = np.array([1, 2, 10, 20, 3, 4, 30, 40], np.float32)[:, None]
    trees = TreeRounds(2, *links, left, threshold, values, 1.0, 2)
    column = (Column("x", "1"), Column("y", "1"))
    told = (Select(np.array([0, 1])), trees, Add(np.array([0, 1])))
    found = Container(column, column, told).predict(np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]))
    np.testing.assert_array_equal(found, [[1 + 3, 20 + 40], [1 + 3, 10 + 30], [2 + 4, 10 + 30]])


def test_a_column_that_is_new_gets_less():
    ramp, decay = novelties()
    columns = np.array([[0.0, 0.5], [0.0, 1.5], [0.3, 0.5], [2.0, -0.6]])
    # Input 1 is known from -0.5 to 0.5, input 0 at 0 alone. Scores: 0; one range beyond; 0.3 off
    # the constant; 2 off it and 0.1 ranges below. Weights are (1.7 - score) / 1.6.
    np.testing.assert_allclose(ramp.weights(columns), [1, 0.7 / 1.6, 1.4 / 1.6, 0])
    # (0.4, -0.2) from the mean: axes 0.8 + 0.05 and 0.2 - 0.2; (1.4, -0.2): 2.85 and 0.5.
    score = np.sqrt((2.85**2 + 0.5**2) / 2) - 0.4
    np.testing.assert_allclose(decay.weights(columns)[1], 0.3 ** (score - 0.1))
    assert np.sqrt(0.85**2 / 2) - 0.4 > 0.1 > decay.weights(columns)[0] - 0.9
    mask = replace(ramp, response=0, numbers=(0.0, 1.0, 0.1))
    np.testing.assert_array_equal(mask.weights(columns), [1, 0, 0, 0])


def test_a_column_far_from_every_support_vector_gets_less():
    guard, columns = support_vectors(), np.array([[-0.7, 0.85], [-0.2, 0.1], [9.0, 9.0]])
    # Input 1 comes first. Scaled: (0.5, -1), which is the first vector; (0, 0); far away.
    near = 1 + 0.75 * np.exp(-0.4 * (0.5**2 + 1.25**2)) + 0.5 * np.exp(-0.4 * (1.5**2 + 2.5**2))
    at = np.exp(-0.4 * 1.25) + 0.75 * np.exp(-0.4 * 0.0625) + 0.5 * np.exp(-0.4 * 6.25)
    # The score is 0.9 minus these; a ramp gives (0.8 - score) / 0.7, at most 1.
    assert near > 0.8 > 0.9 - at
    np.testing.assert_allclose(guard.weights(columns), [1, min(1, (at - 0.1) / 0.7), 0], rtol=1e-14)
    decay = replace(guard, response=2)  # half of it for each unit beyond 0.1
    np.testing.assert_allclose(decay.weights(columns)[2], 0.5 ** (0.9 - 0.1), rtol=1e-12)


def test_every_activation_of_the_networks_has_a_number_and_the_same_values():
    assert set(ACTIVATION_CODES) == {"none", *ACTIVATIONS}
    values = np.linspace(-6, 5, 23)
    one, column = np.ones((1, 1)), (Column("x", "1"),)
    for name, bend in ACTIVATIONS.items():
        told = (Select(np.array([0])), Dense(one, np.zeros(1), name), Add(np.array([0])))
        found = Container(column, column, told).predict(values[:, None])[:, 0]
        np.testing.assert_allclose(found, bend(values), rtol=1e-13, atol=1e-15)


def test_the_checksum_is_that_of_zlib_and_little_endian(container):
    content = to_bytes(container)
    assert content[:8] == b"CLOSURA\x1a"
    assert content[12:16] == bytes([4, 3, 2, 1])
    assert int.from_bytes(content[-4:], "little") == zlib.crc32(content[:-4])


def test_every_truncation_and_every_flipped_bit_is_found(container):
    content = to_bytes(container)
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"is no \.closura file|is cut off|bytes, wanted"):
            from_bytes(content[:length])
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(ValueError):
            from_bytes(bytes(damaged))


def test_damage_with_a_checksum_that_is_right_is_one_line(container):
    draw = np.random.default_rng(0)
    extremes = np.array([-1, 0, 1, 2, 3, 8, 17, 8193, 2**30, 2**31 - 1, -(2**31)])
    graph = to_bytes(with_graph(network(4)))
    said = set()
    for content in (to_bytes(container), to_bytes(on_grid()), graph):
        words = np.frombuffer(content, "<i4")
        for _ in range(900):
            damaged = words.copy()
            damaged[draw.integers(8, min(len(words) - 2, 900), 2)] = draw.choice(extremes, 2)
            try:
                from_bytes(with_checksum(damaged.tobytes()))
            except ValueError as error:  # anything else fails the test
                said.add(str(error).partition(":")[0])
                assert str(error).endswith(".") and "\n" not in str(error)
    assert {"is damaged"} < said


WRONG = {
    "newer": (
        lambda c: with_checksum(c[:8] + bytes([4]) + c[9:]),
        "is of format 4, newer than the formats 1 to 3",
    ),
    "older": (
        lambda c: with_checksum(c[:8] + bytes([0]) + c[9:]),
        "is of format 0, older than the",
    ),
    "foreign": (lambda c: b"netCDF" + c, "is no .closura file; give the one that"),
    "flipped": (lambda c: c[:99] + bytes([c[99] ^ 4]) + c[100:], "its checksum is wrong; copy it"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_that_cannot_be_read_says_why(container, tmp_path, wrong):
    damage, line = WRONG[wrong]
    (tmp_path / "a.closura").write_bytes(damage(to_bytes(container)))
    with pytest.raises(ValueError) as caught:
        read_container(tmp_path / "a.closura")
    assert line in str(caught.value) and "a.closura" in str(caught.value)


def test_what_the_runtime_could_not_hold_is_refused(tmp_path):
    column = (Column("x", "1"),)
    with pytest.raises(ValueError, match=r"has 121 bytes; a \.closura file holds names"):
        Container((Column("x" * 121, "1"),), column, ())
    with pytest.raises(ValueError, match="a column of 9000 values is wider than the Fortran"):
        Container(column, column, (Dense(np.zeros((1, 9000)), np.zeros(9000)),))
    write_container(tmp_path / "empty.closura", Container(column, column, ()))
    assert read_container(tmp_path / "empty.closura").operations == ()
