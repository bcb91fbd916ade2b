"""What every demo does alike: options, one printed table, and one clear line where the input is wrong."""

import argparse
import os
import sys

import numpy as np
from tqdm import tqdm


def options(doc, out):
    """A parser with what every demo takes: --quick, --seed, --out; it shows the first line of doc."""
    parser = argparse.ArgumentParser(description=doc.strip().splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seconds: shows that it runs, not the result")
    parser.add_argument("--seed", type=non_negative, default=0, help="of every random stream")
    parser.add_argument("--out", default=os.path.join("results", out), help="folder for figures and tables")
    return parser


def non_negative(text):
    """An argument that must be an integer of at least 0."""
    return _integer(text, 0)


def positive(text):
    """An argument that must be an integer of at least 1."""
    return _integer(text, 1)


def _integer(text, least):
    if not text.lstrip("-").isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer of at least {least}")
    return int(text)


def run(main, parser, argv=None):
    """main(arguments), in an existing --out; what is wrong with the input ends in one line on stderr and status 2."""
    arguments = parser.parse_args(argv)
    try:
        os.makedirs(arguments.out, exist_ok=True)
        if not os.access(arguments.out, os.W_OK):
            raise PermissionError(f"cannot write into {arguments.out}")
        main(arguments)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        sys.exit(2)


def streams(seed):
    """Four independent generators, one for each purpose: init, data, noise, test."""
    return np.random.default_rng(seed).spawn(4)


def progress(steps, total, description=""):
    """`steps` with a bar on stderr that shows the running figure and the time left."""
    return tqdm(steps, total=total, desc=description, leave=False, dynamic_ncols=True, file=sys.stderr)


def table(header, rows):
    """Print rows under a header, columns aligned; floats with the digits that you format them with."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for i, row in enumerate(cells):
        print("  ".join(cell.rjust(width) if j else cell.ljust(width)
                        for j, (cell, width) in enumerate(zip(row, widths))).rstrip())
        if i == 0:
            print("-" * (sum(widths) + 2 * (len(widths) - 1)))
