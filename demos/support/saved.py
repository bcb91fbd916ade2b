"""A run on disk: saved after each epoch, so that a kill loses one at most, and a longer run goes on from a shorter."""

import os

from vae_np import State
from vae_np.tools import checkpoint


def epochs(path, about, params, optimizer, streams, epoch, count):
    """The records of so many epochs, the last State, and what was kept: those that `path` holds, and those to come.

    about: plain values and lists that name the run; a file that has others is refused. streams: the generators that an
    epoch draws from. epoch: i, State, kept -> State, record, kept; record: numbers and lists, kept: any nest or None.
    """
    run = {"about": about, "step": 0, "params": params, "optimizer": optimizer.init(params), "records": [],
           "streams": [rng.bit_generator.state for rng in streams], "kept": None}
    if os.path.exists(path):
        saved = checkpoint.load(path)
        if not isinstance(saved, dict) or saved.keys() != run.keys() or saved["about"] != about:
            raise ValueError(f"{path}: expected a run of {about}; name another folder with --out")
        run = saved
        for rng, state in zip(streams, run["streams"]):
            rng.bit_generator.state = state
    for i in range(len(run["records"]), count):
        state = State(run["step"], run["params"], None, run["optimizer"])
        state, record, kept = epoch(i, state, run["kept"])
        run = {"about": about, "step": state.step, "params": state.params, "optimizer": state.optimizer,
               "records": [*run["records"], record], "streams": [rng.bit_generator.state for rng in streams],
               "kept": kept}
        checkpoint.save(path, run)
    if len(run["records"]) > count:
        raise ValueError(f"{path}: it holds {len(run['records'])} epochs, more than {count}; name another folder with "
                         "--out")
    return run["records"], State(run["step"], run["params"], None, run["optimizer"]), run["kept"]
