"""The model against the one-page version in plain autograd, and against PyTorch where that is installed.

Same parameters, x and ε: the same value and the same gradient, for architectures that are not the post's, for k samples
and for a batch of another size. Float64 to 1e-10, float32 to 1e-5, relative to the largest entry of each array.
"""

import autograd
import autograd.numpy as np
import numpy as onp
import one_page
import pytest

from vae_np import (
    astype,
    bernoulli_likelihood,
    dense,
    gaussian_posterior,
    heads,
    relu,
    sequential,
    summary,
    vae,
    value_and_grad,
)
from vae_np.nests import leaves, rebuild

ARCHITECTURES = [(784, [256], 2), (30, [20], 3), (17, [11, 7], 1), (9, [8, 8, 8], 5)]
NOISE = [((), 12), ((1,), 5), ((4,), 7)]
TOLERANCE = {onp.float64: 1e-10, onp.float32: 1e-5}


def build(n_pixels, hidden, d):
    def layers(*widths):
        return [block for a, b in zip(widths, widths[1:]) for block in (dense(a, b), relu)]

    encoder = sequential(*layers(n_pixels, *hidden), heads(dense(hidden[-1], d), dense(hidden[-1], d)))
    return vae(gaussian_posterior(encoder),
               bernoulli_likelihood(sequential(*layers(d, *hidden[::-1]), dense(hidden[0], n_pixels))))


def case(architecture, noise, dtype, rng):
    n_pixels, _, d = architecture
    samples, n = noise
    model = build(*architecture)
    x, eps = rng.random((n, n_pixels)).astype(dtype), rng.standard_normal((*samples, n, d)).astype(dtype)
    params = astype(model.init(rng), dtype)
    params = rebuild(params, [leaf + rng.normal(0, 0.1, leaf.shape).astype(dtype) for leaf in leaves(params)])
    value, gradient = value_and_grad(lambda p: np.mean(model.apply(p, x, eps)))(params)
    return params, x, eps, value, gradient


def assert_same(found, expected, tolerance):
    for a, b in zip(leaves(found), leaves(expected)):
        assert onp.shape(a) == onp.shape(b)
        assert onp.max(onp.abs(a - b)) <= tolerance * onp.max(onp.abs(b))


@pytest.mark.parametrize("dtype", [onp.float64, onp.float32])
@pytest.mark.parametrize("noise", NOISE, ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_the_one_page_version_agrees(architecture, noise, dtype, rng):
    params, x, eps, value, gradient = case(architecture, noise, dtype, rng)
    exact = astype(params, onp.float64)
    expected = autograd.value_and_grad(lambda p: np.mean(one_page.nelbo(p, x.astype(float), eps.astype(float))))(exact)
    assert {leaf.dtype for leaf in leaves(gradient)} == {onp.dtype(dtype)} == {value.dtype}
    assert_same((value, gradient), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [onp.float64, onp.float32])
@pytest.mark.parametrize("noise", NOISE, ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_pytorch_agrees(architecture, noise, dtype, rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    params, x, eps, value, gradient = case(architecture, noise, dtype, rng)
    tensors = [torch.tensor(leaf, dtype=torch.float64, requires_grad=True) for leaf in leaves(params)]
    nest, x, eps = rebuild(params, tensors), torch.tensor(x).double(), torch.tensor(eps).double()

    def network(layers, h):
        for p in layers:
            h = h @ p["W"] + p["b"] if p else torch.relu(h)
        return h

    h = network(nest["phi"][:-1], x)
    mu, log_var = (h @ p["W"] + p["b"] for p in nest["phi"][-1])
    q = torch.distributions.Normal(mu, torch.exp(0.5 * log_var))
    logits = network(nest["theta"], q.mean + q.stddev * eps)
    nll = -torch.distributions.Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(-1)
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    loss = (nll + kl).mean()
    loss.backward()
    assert_same((value, gradient), (loss.detach().numpy(), rebuild(params, [t.grad.numpy() for t in tensors])),
                TOLERANCE[dtype])


def test_one_page_is_one_page():
    with open(one_page.__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert len(lines) < 60 and not any("vae_np" in line for line in lines)


def test_it_ends_with_the_negative_elbo_of_the_test_set_sampled(capsys, rng):
    x_train, x_test = rng.integers(0, 256, (300, 784), onp.uint8), rng.integers(0, 256, (50, 784), onp.uint8)
    one_page.main(x_train, x_test, 2)
    *epochs, last = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in epochs] == ["epoch 1", "epoch 2"]
    name, _, value = last.removesuffix(" nats").rpartition(" ")
    assert name == "-ELBO of the test set" and 520 < float(value) < 560  # of noise: near 784 log 2 = 543.4


def test_the_posts_model_has_its_404244_parameters(rng):
    text = summary(one_page.init(rng))
    assert text == summary(build(784, [256], 2).init(rng)) and text.endswith("404,244")
