"""`closura export` on a finished run."""

import shutil
import sys

import pytest

from closura import cli
from closura.experiment import shipping
from closura.experiment.shipping import export_run


@pytest.fixture
def copied(undisturbed, tmp_path):
    return shutil.copytree(undisturbed, tmp_path / "run")


def call(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["closura", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_a_learner_of_a_run_is_shipped_into_its_folder(copied, monkeypatch, capsys):
    assert call(monkeypatch, "export", str(copied), "--learner", "cubic", "--to", "fortran") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{copied / 'cubic' / 'fortran'}: ")
    assert "states repeated, largest difference" in said
    names = {file.name for file in (copied / "cubic" / "fortran").iterdir()}
    assert {"closura.F90", "cubic.closura", "driver.f90", "cases.bin", "parity.json", "Makefile",
            "CMakeLists.txt", "fpm.toml", "README.md"} == names  # fmt: skip
    assert call(monkeypatch, "export", str(copied), "--learner", "cubic") == 2
    assert "exists already, and nothing is overwritten" in capsys.readouterr().err


def test_all_learners_are_shipped_where_none_is_named(copied):
    done = export_run(copied)
    assert [path.relative_to(copied).as_posix() for path in done] == [
        "network/fortran", "cubic/fortran",
    ]  # fmt: skip
    assert all(figures["cases"] >= 1000 for figures in done.values())


def test_a_refused_learner_does_not_keep_the_others_back(copied, monkeypatch, capsys):
    honest = shipping.export_closure

    def choosy(closure, folder, **settings):
        if settings["name"] == "network":
            raise ValueError("a network cannot be shipped to the moon; use a rocket.")
        return honest(closure, folder, **settings)

    monkeypatch.setattr(shipping, "export_closure", choosy)
    assert call(monkeypatch, "export", str(copied)) == 2
    assert capsys.readouterr().err == (
        "closura: 1 of 2 learners were refused. network: a network cannot be shipped to the moon; "
        f"use a rocket; written: {copied / 'cubic' / 'fortran'}.\n"
    )
    assert (copied / "cubic" / "fortran" / "parity.json").is_file()
    assert not (copied / "network" / "fortran").exists()


WRONG = {
    "learner": (
        {"learner": "cubc"},
        "has no learner 'cubc'; did you mean 'cubic'? It has:",
    ),
    "format": (
        {"to": "onx"},
        "there is no format 'onx'; did you mean 'onnx'? a closure can go to: fortran,",
    ),
    "output": ({"output": "here"}, "the run has 2 learners and --output names one folder; choose"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_run_does_not_have_is_said_in_one_line(copied, wrong):
    settings, line = WRONG[wrong]
    with pytest.raises(ValueError) as caught:
        export_run(copied, **settings)
    assert line in str(caught.value)


def test_a_learner_that_is_not_fitted_yet_is_said_before_others_are_shipped(copied):
    shutil.rmtree(copied / "network")
    with pytest.raises(FileNotFoundError, match=r"has not fitted 'network' yet .*; run its exper"):
        export_run(copied)
    assert not (copied / "cubic" / "fortran").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="so it is not a run folder"):
        export_run(tmp_path)
