"""Files longer than the runtime's buffer, and forests of more trees than it fetches at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closura.export.cases import Cases, write_cases
from closura.export.container import Column, Container, to_bytes, with_checksum, write_container
from closura.export.native import compile_driver, run_driver
from closura.export.operations import Add, Select, Trees

BUFFER = 65536  # words that closura.F90 reads at once
FINE = "0 closura: no error."


def forest(trees: int, outputs: int) -> Container:
    """Trees of one split and two leaves, all their numbers random."""
    draw = np.random.default_rng(trees)
    first = 3 * np.arange(trees)
    leaf = 2 * np.arange(trees)
    feature = np.stack([draw.integers(0, 4, trees), leaf, leaf + 1], axis=1).ravel()
    left = np.stack([first + 1, first + 1, first + 2], axis=1).ravel()
    threshold = np.stack([draw.normal(size=trees), 0 * first, 0 * first], axis=1).ravel()
    values = draw.normal(size=(2 * trees, outputs)).astype(np.float32)
    one = Trees(4, first, feature, left, threshold.astype(np.float32), values, float(trees))
    return Container(
        tuple(Column(f"x({number})", "1") for number in range(1, 5)),
        tuple(Column(f"y({number})", "1") for number in range(1, outputs + 1)),
        (Select(np.arange(4)), one, Add(np.arange(outputs))),
    )


def padded(container: Container, words: int) -> bytes:
    """Return a file of exactly so many words: blanks in `about` fill it up."""
    short = len(to_bytes(replace(container, about={"pad": ""})))
    content = to_bytes(replace(container, about={"pad": " " * (4 * words - short)}))
    assert len(content) in (4 * words, 4 * words + 4)
    return content


@pytest.mark.parametrize("trees", [7, 8, 19])
def test_a_forest_is_the_sum_of_its_trees_however_many(gfortran, tmp_path, trees):
    # 8 trees are fetched together: none, one and two such flocks, and 7, 0 and 3 trees alone.
    container = forest(trees, outputs=300)  # more outputs than are summed together, 256
    draw = np.random.default_rng(0)
    inputs, none = draw.normal(size=(41, 4)), np.zeros((41, 0))
    cases = Cases(inputs, none, none, container.predict(inputs), none)
    write_container(tmp_path / "a.closura", container)
    write_cases(tmp_path / "cases.bin", cases, cases, (1e-6, 1e-6))
    found = run_driver(
        compile_driver(gfortran), tmp_path / "a.closura", tmp_path / "cases.bin", (41, 300, 0)
    )
    np.testing.assert_allclose(found["double"][0], cases.tendencies, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(found["single"][0], cases.tendencies, rtol=1e-6, atol=1e-7)


@pytest.fixture
def status(ask, tmp_path):
    """Write contents as files and return what the checked runtime says of each."""

    def call(*contents: bytes) -> list[str]:
        files: list[Path] = []
        for number, content in enumerate(contents):
            files.append(tmp_path / f"{number}.closura")
            files[-1].write_bytes(content)
        return ask("load", lines="".join(f"{file}\n" for file in files))

    return call


def test_a_file_may_end_anywhere_in_the_buffer(status):
    # The last two words in one buffer, in two, and at the very beginning of another one.
    sizes = [BUFFER - 1, BUFFER, BUFFER + 1, BUFFER + 2, 3 * BUFFER + 1]
    container = forest(2, 3)
    assert status(*(padded(container, size) for size in sizes)) == [FINE] * len(sizes)


def test_numbers_that_cross_the_buffer_are_read_whole(gfortran, tmp_path):
    # 2 x 40 rows of 5000 values: 400 000 words, in seven buffers.
    container = forest(40, outputs=5000)
    inputs, none = np.random.default_rng(1).normal(size=(3, 4)), np.zeros((3, 0))
    cases = Cases(inputs, none, none, container.predict(inputs), none)
    write_container(tmp_path / "a.closura", container)
    write_cases(tmp_path / "cases.bin", cases, cases, (1e-6, 1e-6))
    found = run_driver(
        compile_driver(gfortran), tmp_path / "a.closura", tmp_path / "cases.bin", (3, 5000, 0)
    )
    np.testing.assert_allclose(found["double"][0], cases.tendencies, rtol=1e-13, atol=1e-15)


def test_damage_far_into_a_long_file_is_found(status):
    content = padded(forest(2, 3), 2 * BUFFER + 100)
    damaged, cut = [], []
    for place in (4 * BUFFER - 3, 4 * BUFFER + 2, 8 * BUFFER - 1, 8 * BUFFER + 11):
        changed = bytearray(content)
        changed[place] ^= 4
        damaged.append(bytes(changed))
        cut.append(content[:place])
    said = status(*damaged, *cut)
    assert {line.partition(" ")[0] for line in said[:4]} == {"6"}
    assert {line.partition(" ")[0] for line in said[4:]} == {"3"}


def test_a_leaf_that_is_not_finite_is_refused_wherever_it_lies(status):
    container = forest(40, outputs=2000)
    content = to_bytes(container)
    bad = np.frombuffer(content, "<f4").copy()
    last = int(np.flatnonzero(bad == container.operations[1].values[-1, -1])[-1])
    assert last > 2 * BUFFER
    bad[last] = np.inf
    assert status(with_checksum(bad.tobytes()), content)[0].startswith("7 ")
