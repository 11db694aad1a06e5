"""The page as a file: whole, self-contained, safe, repeatable, and honest about what is missing."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from closura.report import write_report
from report.fabricated_run import fabricate

SECTIONS = ("warnings", "summary", "scores", "expected", "figures", "made", "repeat")
RING = (
    "relation", "hovmoeller", "forecast_skill", "climate_density", "spectra", "autocorrelation",
    "rank_histogram", "lyapunov", "price", "training",
)  # fmt: skip
COLUMNS = ("scores_by_level", "column_means", "mean_profiles", "sections", "learning_curves")


class Page(HTMLParser):
    """Ids, addresses and text of a page."""

    def __init__(self, folder: Path):
        super().__init__()
        self.ids, self.addresses, self.tags, self.words = [], [], [], []
        self.feed((folder / "report.html").read_text())
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "srcset", "data", "action"):
                self.addresses.append(value)

    def handle_data(self, data):
        self.words.append(data)


def test_every_section_and_every_figure_of_a_model_run_appears(ring_run):
    page = Page(ring_run)
    assert [name for name in SECTIONS if name not in page.ids] == []
    assert [name for name in RING if name not in page.ids] == []
    assert "Not shown" not in page.text


def test_every_figure_of_a_run_on_files_appears(column_run):
    page = Page(column_run)
    assert [name for name in COLUMNS if name not in page.ids] == []
    assert "forecast_skill" not in page.ids


def test_pictures_lie_beside_the_page_as_files_too(ring_run):
    found = {file.stem for file in (ring_run / "figures").glob("*.png")}
    assert found == set(RING)


@pytest.mark.parametrize("run", ["ring_run", "column_run", "crowded_run"])
def test_the_page_fetches_nothing(run, request):
    folder = request.getfixturevalue(run)
    page = Page(folder)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(|@import", (folder / "report.html").read_text())


@pytest.mark.parametrize("run", ["ring_run", "column_run", "crowded_run"])
def test_the_page_stays_small(run, request):
    folder = request.getfixturevalue(run)
    assert (folder / "report.html").stat().st_size < 6_000_000


def test_names_are_shown_as_they_are_and_never_as_markup(crowded_run):
    page = Page(crowded_run)
    assert "_tuned & <b>net</b>" in page.text
    assert "$x^2$" in page.text
    assert "noisy cubic with a name that is far too long" in page.text
    # "Not shown" is the only bold text that the page itself sets.
    assert "<b>net</b>" not in (crowded_run / "report.html").read_text()


def test_writing_again_gives_the_same_bytes_and_changes_no_setting(ring_run):
    import matplotlib as mpl

    page, settings = (ring_run / "report.html").read_bytes(), dict(mpl.rcParams)
    assert write_report(ring_run) == ring_run / "report.html"
    assert (ring_run / "report.html").read_bytes() == page
    assert dict(mpl.rcParams) == settings
    # Figures are made without pyplot, which alone keeps them open.
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_nothing_half_written_is_left_and_a_failure_keeps_the_old_page(ring_run, monkeypatch):
    from closura.report import page

    before = (ring_run / "report.html").read_bytes()

    def break_off(path, content):
        path.write_text("half of it")
        raise OSError("the connection to the disk was lost")

    monkeypatch.setattr(page, "draw_all", lambda material: [])
    monkeypatch.setattr(Path, "write_bytes", break_off)
    with pytest.raises(OSError, match="was lost"):
        write_report(ring_run)
    assert (ring_run / "report.html").read_bytes() == before
    assert [file.name for file in ring_run.glob(".*")] == []


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        write_report(tmp_path)


def test_a_run_that_has_only_begun_says_what_is_missing(tmp_path):
    fabricate(tmp_path)
    for name in ("scores.nc", "offline.nc", "price.json", "checks.json", "provenance.json"):
        (tmp_path / name).unlink()
    for name in ("pairs.zarr", "pairs_test.zarr", "network"):
        shutil.rmtree(tmp_path / name)
    write_report(tmp_path)
    page = Page(tmp_path)
    assert [name for name in SECTIONS if name not in page.ids] == []
    assert "nothing can be said about skill" in page.text
    assert "scores.nc is not in the run folder: the stage 'online' has not run" in page.text
    assert "the stage 'pairs' has not run" in page.text
    assert "the stage 'price' has not run" in page.text


def test_damaged_files_are_named_and_the_rest_is_shown(tmp_path):
    fabricate(tmp_path, closures=("cubic",))
    (tmp_path / "scores.nc").write_bytes(b"not a netCDF file")
    (tmp_path / "price.json").write_text('{"cubic": ')
    (tmp_path / "cubic" / "closure.eqx").write_bytes(b"cut")
    write_report(tmp_path)
    page = Page(tmp_path)
    assert "scores.nc cannot be read" in page.text
    assert "price.json cannot be read" in page.text
    assert "cubic is not drawn:" in page.text


def test_missed_expectations_are_warnings_too(tmp_path, monkeypatch):
    from closura.report import page

    monkeypatch.setattr(page, "draw_all", lambda material: [])
    fabricate(tmp_path, closures=("cubic",))
    checks = [
        {"name": "cubic.coefficients.1", "expected": "-1.3 ± 0.03", "found": -1.4, "passed": False},
        {"name": "cubic.terms.9", "expected": "1", "found": None, "passed": False,
         "problem": "it has 4 terms"},
    ]  # fmt: skip
    (tmp_path / "checks.json").write_text(json.dumps(checks))
    write_report(tmp_path)
    text = Page(tmp_path).text
    assert "expected cubic.coefficients.1 = -1.3 ± 0.03, found −1.400." in text
    assert "it has 4 terms" in text
    assert "✗ missed" in text
