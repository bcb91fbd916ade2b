"""Run vae.ipynb from top to bottom and store its outputs, without what belongs to one machine.

    python demos/lesson/notebook.py

About two minutes on two free cores; where they are not free, OPENBLAS_NUM_THREADS=1 keeps the threads from waiting for
each other. It is written only if every cell, and so every check in it, has run without an error.
"""

import os

import nbformat
from nbclient import NotebookClient

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = os.path.join(HERE, "vae.ipynb")


def execute(path=PATH):
    """The executed notebook: outputs of this run alone, metadata of no machine."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": HERE}}, record_timing=False,
                   coalesce_streams=True).execute()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                         "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


if __name__ == "__main__":
    notebook = execute()
    nbformat.write(notebook, PATH)
    print(f"{PATH}: {len(notebook.cells)} cells, {os.path.getsize(PATH) / 1e3:.0f} kB")
