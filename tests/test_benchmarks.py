"""The benchmark compares programs that compute the same."""

import importlib.util
from pathlib import Path

import numpy as np
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


@pytest.fixture
def scores(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import scores

    return scores


SMALL = """
name: small
truth: {type: Lorenz96, K: 7, F: 8.0, dt: 0.05}
observe: {variables: [X], every: 0.05, noise: 1.0}
assimilate: {spinup: 1.0, duration: 3.0, skip: 1.0}
solvers:
  mean: Climatology
  etkf: {type: ETKF, members: 5, inflation: 1.1}
expect:
  mean.forecast_rmse: {below: 100, source: nobody}
  etkf.analysis_rmse / mean.analysis_rmse: {above: 0, source: nobody}
  etkf.diverged_share: {below: 2}
  etkf.analysis_rmse: {value: 50, within: 0.5, source: "a number, that is | far off"}
"""


def test_scores_are_printed_beside_what_is_published(scores, tmp_path, capsys):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    assert scores.main([str(file), "--folder", str(tmp_path / "runs")]) == 1  # the ETKF is not 50
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split(" | ")] for line in lines if "| small" in line]
    assert [row[1] for row in rows] == [  # the share has no source and is met: it is left out
        "`Climatology()`, forecast_rmse", "`etkf.analysis_rmse / mean.analysis_rmse`",
        "`ETKF(members=5, inflation=1.1)`",
    ]  # fmt: skip
    assert [row[4] for row in rows] == ["met", "met", "**missed**"]
    value, half = rows[2][2].split(" ± ")
    assert 0 < float(half) < float(value) < 5 and " ± " not in rows[1][2]
    assert rows[2][3] == "50 ± 0.5" and len(rows[2]) == 6
    assert "2 of 3 met." in lines[-1]
    scores.main([str(file), "--folder", str(tmp_path / "runs")])
    assert "kept  mean, etkf" in capsys.readouterr().err


def test_scores_are_those_of_every_bundled_assimilation(scores):
    names = list(scores._chosen([]))
    assert {"sakov2008", "hoteit2015", "assimilate_lorenz96"} <= set(names)
    assert not {"lorenz96", "infer_lorenz96", "gate_columns"} & set(names)


def test_scores_of_another_kind_are_refused(scores, capsys):
    with pytest.raises(SystemExit):
        scores.main(["lorenz96"])
    assert "lorenz96 is of the kind 'simulated'; name experiments" in capsys.readouterr().err


def test_the_cost_of_the_atmosphere_is_printed_for_each_size(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import atmosphere, atmosphere_cost

    atmosphere_cost.measure(**atmosphere.QUICK["cost"])
    assert "| T21 L3 | 1800 |" in capsys.readouterr().out
    assert set(atmosphere.QUICK) == set(atmosphere.PARTS)


@pytest.fixture
def shipping(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import shipping

    try:
        shipping.check_parts()
    except SystemExit as missing:
        pytest.skip(str(missing))
    return shipping


def test_the_quick_shipping_mode_prints_every_way_and_every_goal(shipping, capsys, monkeypatch):
    monkeypatch.setattr(shipping, "FLAGS", ("-O0",))  # compiles faster
    shipping.main(1, shipping.QUICK)
    printed = capsys.readouterr().out
    network, trees = "network 158-128-128-158", "boosted trees, 2 rounds of 158, depth 2"
    ways = ("no library", "ONNX in Fortran", "ONNX in Python")
    for name in (network, "forest, 2 trees, depth 3", trees):
        assert all(f"| {name}, {way} |" in printed for way in ways)
    assert f"| {network}, OpenBLAS |" in printed and "| three bare sgemm |" in printed
    assert "A sphere of 7 x 8 with 3 channels" in printed
    for way in ("Fortran, no library", "Fortran, OpenBLAS", "ONNX in Python"):
        assert f"| U-Net of 2 halvings, 2 channels at the finest, {way} |" in printed
    assert printed.count("- goal: ") == 5


def test_what_pytorch_is_timed_with_is_the_same_network(shipping, tmp_path):
    """The file holds all that PyTorch needs; that it computes the same it checks itself."""
    from benchmarks import shipping_models as models

    models.save_network(models.network(), tmp_path / "network.npz")
    held = dict(np.load(tmp_path / "network.npz"))
    values = (held["columns"] - held["centre"]) / held["scale"]
    for number in range(3):
        values = values @ held[f"weights_{number}"] + held[f"offset_{number}"]
        values = np.maximum(values, 0) if number < 2 else values
    np.testing.assert_allclose(values * held["restore"], held["tendencies"], rtol=1e-3, atol=1e-5)


def test_what_is_timed_through_onnx_computes_what_is_timed_natively(shipping):
    from benchmarks import shipping_models as models

    from closura.export.onnx import open_session

    held = models.network(), models.forest(models.QUICK), models.boosted(models.QUICK)
    for container in held:
        columns = np.random.default_rng(1).random((60, models.VALUES), np.float32)
        wanted = container.predict(columns.astype(float))
        session = open_session(shipping.to_onnx(container))
        found = session.run(["tendencies"], {"columns": columns})[0]
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
        assert np.abs(wanted).max() > 0.1
