"""The benchmark compares programs that compute the same."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def truth(monkeypatch):
    pytest.importorskip("numba", reason="numba is not installed: pip install -e '.[benchmark]'")
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import truth

    return truth


def test_closura_numpy_and_numba_agree_to_rounding(truth):
    # 100 steps are 0.1 time units: rounding of 1e-15 has grown by less than a hundred by then.
    found = truth.differences(members=3, steps=100)
    assert set(found) == {"NumPy", "numba"}
    assert max(found.values()) < 1e-12


def test_the_quick_mode_prints_every_implementation(truth, capsys):
    from benchmarks.lorenz96 import QUICK

    truth.measure(cores=1, **QUICK["truth"])
    printed = capsys.readouterr().out
    assert QUICK["truth"]["ensembles"] == (3,)
    for name in ("numba, one thread", "NumPy", "closura"):
        assert f"| 3 | {name} |" in printed


def test_filters_are_timed_without_dapper_and_say_so(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import assimilation

    if importlib.util.find_spec("dapper") is not None:
        pytest.skip("DAPPER is importable here")
    assert assimilation.start_peer(None) is None
    assert "DAPPER is left out" in capsys.readouterr().out
    monkeypatch.setattr(assimilation, "LABELS", {"ETKF": "ETKF"})
    assimilation.measure_filters(None, cycles=8, repeats=2)
    printed = capsys.readouterr().out
    assert "| ETKF | closura |" in printed and "goal" not in printed
