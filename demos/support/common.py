"""What every demo does alike: options, one printed table, and one clear line where the input is wrong."""

from support import interrupted

import argparse
import contextlib
import json
import os
import platform
import shlex
import signal
import sys
import tempfile
from importlib.metadata import version

import numpy as np
from tqdm import tqdm

from vae_np.tools.files import write_atomically

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Parser(argparse.ArgumentParser):
    """Shows the first line of a docstring; says what is wrong with an argument in one line, without the usage."""

    def __init__(self, description=None, **keywords):  # python -OO leaves no docstring
        super().__init__(description=(description or "").strip().partition("\n")[0], **keywords)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def options(doc, out):
    """A parser with what every demo takes: --quick, --seed, --out; it shows the first line of doc."""
    parser = Parser(doc, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
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


def rate(text):
    """An argument that must be a positive finite number."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive number")
    return value


def _integer(text, least):
    if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 20 and int(text) >= least):
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: expected an integer of at least {least}, below 10¹⁹")
    return int(text)


@contextlib.contextmanager
def alone_in(folder):
    """Hold the folder while a run writes there: OSError, in one line, where another does, but none that was killed.

    Where the system or the disk has no such locks, nobody is told.
    """
    descriptor = fcntl and os.open(folder, os.O_RDONLY)  # the folder itself: a file to lock would stay behind
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(f"--out {folder}: another run writes there now; let it end, or name another folder") from None
    except OSError:
        pass
    try:
        yield
    finally:
        if fcntl:
            os.close(descriptor)


def takes(seconds, what="on one core, this", advice="--quick, some seconds"):
    """Say on stderr what is to come, where it is more than a minute."""
    if seconds > 60:
        tqdm.write(f"{what} takes about {seconds / 60:.0f} minutes; {advice}", file=sys.stderr)  # above a bar


def run(main, parser, argv=None, hold=alone_in):
    """main(arguments), in an existing --out; what is wrong with the input ends in one line on stderr and status 2.

    hold: `alone_in` refuses a second run in one --out; several processes of one run need another. Ctrl-C ends in one
    line and status 130. run.json is written at the end, from the arguments as main left them.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ε is no reason to stop
    try:
        if signal.getsignal(signal.SIGINT) is interrupted:  # from here on an exception, so that main can end in order
            signal.signal(signal.SIGINT, signal.default_int_handler)
        arguments = parser.parse_args(argv)
        writable(arguments.out)
        with hold(arguments.out):
            main(arguments)
            record(arguments)
    except KeyboardInterrupt as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one shall not cut the line short
        print(str(stop) or f"{parser.prog}: stopped", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError, ArithmeticError, MemoryError) as error:
        print(f"{parser.prog}: error: {line(error)}", file=sys.stderr)
        sys.exit(2)


def line(error):
    """What went wrong, in one line; an error of the system begins with the file's name."""
    named = isinstance(error, OSError) and error.filename
    return " ".join(f"{error.filename}: {error.strerror}".split() if named else str(error).split())


def writable(folder):
    """Make the folder if it is not there; OSError, in one line, where nothing can be written into it."""
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"--out {folder}: expected a folder to write into; {error.strerror}") from None


def record(arguments):
    """run.json: the command, its options and the versions that made the results beside it."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    threads = {name: os.environ[name] for name in sorted(os.environ) if name.endswith("_NUM_THREADS")}
    run = {"command": shlex.join(["python", *sys.argv]), "options": vars(arguments),
           "python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}",
           "cores": os.cpu_count(), "threads": threads,
           **{name: version(name) for name in ("numpy", "autograd", "scipy", "matplotlib")},
           "blas": f"{blas.get('name')} {blas.get('version')}"}
    text = json.dumps(run, indent=2, default=str) + "\n"
    write_atomically(os.path.join(arguments.out, "run.json"), lambda file: file.write(text.encode()))


def streams(seed):
    """Four independent generators, one for each purpose: init, data, noise, test."""
    return np.random.default_rng(seed).spawn(4)


def progress(steps, total, description=""):
    """`steps` with a bar on a terminal's stderr that shows the running figure and the time left."""
    return tqdm(steps, total=total, desc=description, leave=False, dynamic_ncols=True, mininterval=0.5,
                disable=not (sys.stderr and sys.stderr.isatty()))


def table(header, rows):
    """Print rows under a header, columns aligned; floats with the digits that you format them with."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for i, row in enumerate(cells):
        print("  ".join(cell.rjust(width) if j else cell.ljust(width)
                        for j, (cell, width) in enumerate(zip(row, widths))).rstrip())
        if i == 0:
            print("-" * (sum(widths) + 2 * (len(widths) - 1)))
