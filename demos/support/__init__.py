"""What the demos share. Not for reading first: begin with `demos/mnist.py`.

A demo imports this before anything else (the linter's order of imports holds it there), so that what follows is in
place while the others are imported. It changes nothing where no demo is run, as in a test or a notebook.
"""

import os
import signal
import sys

EXTRAS = {"mpi4py": "mpi", "torch": "bench", "jax": "bench", "keras": "bench",
          **dict.fromkeys(("numpy", "scipy", "autograd", "matplotlib", "tqdm", "vae_np"), "demos")}
DEMOS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
NAME = os.path.basename(sys.argv[0])


def advice(error):
    """What to do about a package that could not be imported; "" where no extra brings it."""
    known = isinstance(error, ModuleNotFoundError) and error.name in EXTRAS
    return f"{error.name} is not installed; pip install -e '.[{EXTRAS[error.name]}]' brings it" if known else ""


def interrupted(*_):
    """Ctrl-C before `common.run`. No exception: what imports in C swallows some, or turns them into others."""
    os.write(2, f"{NAME}: stopped\n".encode())
    os._exit(130)


def uncaught(kind, error, trace):
    """A package that is missing, in one line; what nobody foresaw, in its traceback."""
    if not advice(error):
        return sys.__excepthook__(kind, error, trace)
    print(f"{NAME}: error: {advice(error)}", file=sys.stderr)
    sys.exit(2)


if os.path.realpath(sys.argv[0]).startswith(DEMOS + os.sep):
    os.environ["MPLBACKEND"] = "agg"  # figures are files; a notebook's shell names a backend that may not be there
    sys.excepthook = uncaught
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as in the background
        signal.signal(signal.SIGINT, interrupted)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends a demo as it ends any command
