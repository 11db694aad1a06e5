"""How the documentation is built: `sphinx-build -W --keep-going -b html docs docs/_build/html`.

Every code cell is executed at each build, in a temporary folder. Nothing is fetched.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

# Read by the kernels that execute the pages.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["JAX_ENABLE_X64"] = "1"  # as `closura run` sets it
os.environ["MPLBACKEND"] = "agg"
os.environ["TTY_COMPATIBLE"] = "0"  # rich: a line a stage, no bars that move
os.environ["NO_COLOR"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pooch import os_cache

import closura

CACHE = Path(os.environ.get("CLOSURA_CACHE") or os_cache("closura")) / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# IPython hands on what a shell cell prints in pieces of 100 characters, and myst-nb begins a line
# with each. Here a `%%bash` cell prints when it is done, both of its streams in order.
STARTUP = """
import subprocess
from IPython.core.magic import register_cell_magic

@register_cell_magic
def bash(line, cell):
    done = subprocess.run(
        ["bash", "-c", cell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout, end="")
    if done.returncode:
        raise RuntimeError(f"the cell left with exit code {done.returncode}")
"""
SETTINGS = tempfile.TemporaryDirectory(prefix="closura-docs-")
startup = Path(SETTINGS.name) / "profile_default" / "startup"
startup.mkdir(parents=True)
(startup / "bash.py").write_text(STARTUP)
os.environ["IPYTHONDIR"] = SETTINGS.name

project = "Closura"
author = "The Closura developers"
copyright = "The Closura developers"
release = version = closura.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design"]
exclude_patterns = ["_build", "jupyter_execute"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 120  # [s] a cell
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_title = "Closura"
html_theme_options = {
    "show_prev_next": False,
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"**": []}
html_copy_source = False
html_show_sphinx = False

default_role = "literal"  # `name` in a docstring is code
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Reference", "References")]

LITERAL = re.compile(r"(``.*?``|`[^`]*`)")
STAR = re.compile(r"(?<!\*)\*(?!\*)")
BAR = re.compile(r"\|")


def escape_marks(app, what, name, obj, options, lines):
    """Let `(time, *dims)` and |x - y| in docstrings stand for themselves: reST reads markup."""
    for number, line in enumerate(lines):
        parts = LITERAL.split(line)
        plain = [BAR.sub(r"\|", STAR.sub(r"\*", part)) for part in parts[::2]]
        parts[::2] = plain
        lines[number] = "".join(parts)


def setup(app):
    """Register the reading of docstrings, before napoleon's own."""
    app.connect("autodoc-process-docstring", escape_marks, priority=400)
