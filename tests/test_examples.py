"""Scripts under examples/ run, and the pages name what users look for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import closura

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run_example(name: str) -> str:
    """Return what an example prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_own_model_keeps_the_laws_and_its_forcing_is_learned():
    # The model without its forcing G = 1 lacks dy/dt = 1 and nothing else.
    assert run_example("own_model.py").split("to add:")[1].strip() == str(
        {"x": 0.0, "y": 1.0, "z": 0.0}
    )


@pytest.mark.slow
def test_lorenz96_prints_a_table():
    printed = run_example("lorenz96.py")
    assert all(name in printed for name in ("cubic", "network", "no closure", "noise floor"))


def test_every_example_says_how_to_run_it():
    assert EXAMPLES
    for file in EXAMPLES:
        assert f"python examples/{file.name}" in file.read_text()


def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs" / "api.md").read_text()
    named = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)$", page, re.M))
    short = {name.rpartition(".")[2] for name in named}
    assert not set(closura.__all__) - short


def test_readme_begins_with_two_commands():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.S | re.M)
    commands = [
        line for block in blocks for line in block.splitlines() if line.startswith("pip install")
    ]
    assert commands == [
        "pip install . && closura run lorenz96",
        "pip install -e '.[all,test]' && pytest",
    ]
    assert blocks[:2] == [f"{command}\n" for command in commands]
