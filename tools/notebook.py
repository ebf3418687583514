"""`python -m tools.notebook`: run the analyst's notebook again and store its outputs. `make notebook` runs it.

It runs in a folder and a home of its own, as on a reader's first day: what was bought before would cost nothing.
"""

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "analysis.ipynb"


def main() -> None:
    """Run every cell; raises the error of one that fails."""
    nbformat, nbclient = (importlib.import_module(name) for name in ("nbformat", "nbclient"))  # of `make docs` only
    notebook: Any = nbformat.read(PAGE, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(HOME=f"{folder}/home", MPLCONFIGDIR=f"{folder}/matplotlib")
        (Path(folder) / "manifests").symlink_to(ROOT / "manifests")
        resources = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, timeout=600, record_timing=False, resources=resources).execute()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(notebook, PAGE)


if __name__ == "__main__":
    main()
