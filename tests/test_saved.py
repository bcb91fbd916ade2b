"""A demo's run on disk: stopped and gone on with, it is the run that was never stopped."""

from support import saved

import autograd.numpy as np
import numpy as onp
import pytest

from vae_np import adam, train
from vae_np.nests import leaves


def run(path, count, until=None, about="a net"):
    """`count` epochs of three steps each; until: the epoch that is cut short, as by a kill."""
    stream, optimizer = onp.random.default_rng(0), adam(0.1)

    def epoch(i, state, kept):
        if i == until:
            raise KeyboardInterrupt
        *_, last = train(lambda p, x, e: np.sum((p["w"] - x - e) ** 2), None, iter(stream.standard_normal((3, 2))),
                         lambda n: stream.standard_normal(n), optimizer, resume=state)
        return last, [last.loss, i], {"first": last.params if kept is None else kept["first"]}

    return saved.epochs(path, {"name": about}, {"w": onp.zeros(2)}, optimizer, (stream,), epoch, count)


def same(a, b):
    return all(onp.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def test_stopped_and_gone_on_with_it_is_the_run_that_was_not(tmp_path):
    records, state, kept = run(tmp_path / "whole.npz", 4)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts.npz", 3, until=2)
    run(tmp_path / "parts.npz", 3)                                # a shorter run, and from there to the whole one
    again, last, first = run(tmp_path / "parts.npz", 4)
    assert again == records and last.step == state.step == 12 and len(records) == 4
    assert same(last.params, state.params) and same(last.optimizer, state.optimizer) and same(first, kept)
    assert not same(kept["first"], state.params)
    assert run(tmp_path / "whole.npz", 4, until=0)[0] == records  # nothing left to do


def test_another_run_is_refused(tmp_path):
    run(tmp_path / "run.npz", 2)
    with pytest.raises(ValueError, match="expected a run of {'name': 'another'}; name another folder with --out"):
        run(tmp_path / "run.npz", 2, about="another")
    with pytest.raises(ValueError, match="it holds 2 epochs, more than 1"):
        run(tmp_path / "run.npz", 1)
