"""A script sees how far long work is; whoever listens already is left alone."""

import io

from rich.console import Console

from closura.core.progress import listen, report
from closura.data.bar import bar


def drawn(terminal: bool) -> str:
    out = io.StringIO()
    with bar("sweep", "assimilations", Console(file=out, force_terminal=terminal, width=80)):
        report("sweep", done=3, total=7)
        report("simulate", done=5, total=9)
    return out.getvalue()


def test_a_terminal_shows_what_is_done():
    assert "assimilations" in drawn(True)
    assert "3/7" in drawn(True)


def test_a_file_stays_clean():
    assert drawn(False) == ""


def test_whoever_listens_already_shows_it_alone():
    with listen(lambda event, values: None):
        assert drawn(True) == ""
