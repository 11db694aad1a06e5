"""Files that hold more than the runtime's panels do, or what cannot follow: a status, no crash."""

from dataclasses import replace

import numpy as np
import pytest

from closura.export.container import Column, Container, to_bytes, with_checksum
from closura.export.onnx import with_graph
from closura.export.operations import Add, Clip, Noise, Select
from shipped import RING, network


@pytest.fixture
def load(ask, tmp_path):
    """Load files of these contents with the runtime; the status of each."""

    def call(contents) -> list[int]:
        paths = [tmp_path / f"{number}.closura" for number, _ in enumerate(contents)]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        lines = ask("load", lines="".join(f"{path}\n" for path in paths))
        return [int(line.partition(" ")[0]) for line in lines]

    return call


def with_operation(content: bytes, kind: int, *words: int) -> bytes:
    """The content of a file with one more operation before its last, an Add of one output."""
    section = np.array([kind, 0, len(words), 0, *words], "<i4").tobytes()
    numbers = np.frombuffer(content[:32], "<i4").copy()
    numbers[[4, 6]] += [len(section), 1]
    return with_checksum(numbers.tobytes() + content[32:-32] + section + content[-32:])


def test_what_is_wider_than_a_panel_is_refused_before_its_numbers_are_read(load):
    told = (Select(np.array([0])), Add(np.array([0])))
    content = to_bytes(Container(RING[:1], RING[3:4], told))
    one = (0, 1072693248)  # the words of 1.0
    damaged = [
        with_operation(content, 15, 1, 1, 9000, 0, 0, *one),  # 9000 trees and none of them
        with_operation(content, 18, 9000, 1, 0, 0, 0, 1, *one),
        with_operation(content, 18, 1, 1, 0, 0, 0, 9000, *one),  # in a round
        with_operation(content, 20, 1, 9000, 0),  # 9000 axes
        with_operation(content, 14, 1, 9000, 0),
        with_operation(content, 13, 9000, 1, 0, 4),
    ]
    assert load(damaged) == [9000009] * 6


def test_a_precise_file_of_more_columns_than_fit_is_refused(load):
    names = tuple(Column(f"x{number}", "1") for number in range(8193))
    wide = Container(names, RING[:1], (Select(np.array([8192])), Add(np.array([0]))))
    with pytest.raises(ValueError, match="a column of 8193 values is wider than the Fortran"):
        replace(wide, precise=True)
    content = bytearray(to_bytes(wide))
    guards = content.index(np.array([4, 0, 3, 0, 0, 0, 0], "<i4").tobytes())
    content[guards + 20] = 1
    assert load([to_bytes(wide), with_checksum(bytes(content))]) == [0, 8193009]


def test_after_a_graph_only_noise_follows(load):
    noise = Noise(np.array([0]), np.array([0.5]), np.array([2.0]))
    held = with_graph(network())
    files = [
        to_bytes(replace(held, operations=(*held.operations, more)))
        for more in (noise, Select(np.arange(5)), Add(np.array([0])), Clip(np.ones(1), np.ones(1)))
    ]
    assert load(files) == [
        11,
        7,
        7,
        7,
    ]  # 11: without ONNX Runtime
