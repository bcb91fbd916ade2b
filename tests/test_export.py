"""A model carried away by the names in its checkpoint gives the same negative ELBO in Keras 3 and in PyTorch."""

from support import common

import importlib.util
import os

import numpy as np
import pytest

from vae_np.tools import checkpoint


def needed(framework):
    """Skip, with the reason, where the framework (or a backend for Keras) is not installed."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    if framework == "keras" and "KERAS_BACKEND" not in os.environ:
        backend = next((name for name in ("jax", "torch", "tensorflow") if importlib.util.find_spec(name)), None)
        if backend is None:
            pytest.skip("Keras is installed, but no backend for it")
        os.environ["KERAS_BACKEND"] = backend


@pytest.mark.parametrize("framework", ["torch", "keras"])
@pytest.mark.parametrize("hidden, latent_dim", [([256], 2), ([31], 1), ([20, 15, 9], 7)])
def test_the_same_negative_elbo_elsewhere(tmp_path, rng, framework, hidden, latent_dim):
    needed(framework)
    import mnist
    import to_keras
    import to_torch

    *_, model = mnist.build(784, hidden, latent_dim)
    params = model.init(rng)
    for part in params.values():  # biases as of a trained model, not the zeros they begin with
        for layer in [p for p in part if isinstance(p, dict)] + [p for ps in part if isinstance(ps, list) for p in ps]:
            layer["b"] = 0.1 * rng.standard_normal(layer["b"].shape, np.float32)
    checkpoint.save(tmp_path / "checkpoint.npz", {"params": params})
    x, eps = rng.random((50, 784), np.float32), rng.standard_normal((50, latent_dim), np.float32)
    ours = model.apply(params, x, eps)
    build, nelbo = {"torch": (to_torch.torch_model, to_torch.nelbo), "keras": (to_keras.keras_model, to_keras.nelbo)}[
        framework]
    theirs = nelbo(build(tmp_path / "checkpoint.npz"), x, eps)
    assert theirs.shape == ours.shape == (50,)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)


def test_without_the_framework_or_the_checkpoint_it_says_so(tmp_path, capsys):
    import to_torch

    with pytest.raises(ModuleNotFoundError, match="no_such_framework"):  # which support makes one line of
        to_torch.run(common.Parser("doc"), "no_such_framework", None, None, [])
    checkpoint.save(tmp_path / "other.npz", {"a": 1})
    for path in ("nowhere.npz", str(tmp_path / "other.npz")):
        with pytest.raises(SystemExit):
            to_torch.run(common.Parser("doc"), "json", None, None, [path])
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "expected a checkpoint of demos/mnist.py" in err


def test_layers_come_in_order_also_beyond_ten():
    import to_torch

    arrays = {f"params.theta.{2 * i}.{name}": i for i in range(12) for name in "Wb"}
    assert to_torch.layers(arrays, "theta") == [(i, i) for i in range(12)]
