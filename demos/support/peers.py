"""The same VAE in each system of `benchmark.py`: one function a system, from (shape, optimizer) to run(steps).

Every system gets the same parameters, minibatches and noise, in float32, as arrays of its own kind, and must return the
same loss after the same steps: a wrong program cannot win.
"""

import os
import sys
import types
from functools import partial
from typing import NamedTuple

import numpy as np

RATE, RHO, RMS_EPS, ADAM_EPS = 1e-3, 0.9, 1e-7, 1e-8
BATCHES = 20  # the minibatches that are gone through again and again
NO_ALLOCATOR = "VAE_NP_BENCHMARK_WITHOUT_ALLOCATOR"
if NO_ALLOCATOR in os.environ:
    sys.modules["vae_np.allocator"] = types.ModuleType("vae_np.allocator")


class Shape(NamedTuple):
    """A network D-hidden-(d, d), d-hidden reversed-D, its batch size, and k samples; k = 0: one, and the ELBO."""

    n_pixels: int = 784
    hidden: tuple = (256,)
    latent: int = 2
    batch: int = 100
    k: int = 0
    activation: str = "relu"


def problem(shape):
    """Parameters in vae_np's nest, minibatches and noise: the same for every system."""
    rng = np.random.default_rng(0)

    def dense(n_in, n_out):
        a = np.sqrt(6 / (n_in + n_out))
        return {"W": rng.uniform(-a, a, (n_in, n_out)).astype(np.float32), "b": np.zeros(n_out, np.float32)}

    def layers(*widths):
        return [p for n_in, n_out in zip(widths, widths[1:]) for p in (dense(n_in, n_out), ())]

    last, d = shape.hidden[-1], shape.latent
    params = {"phi": [*layers(shape.n_pixels, *shape.hidden), [dense(last, d), dense(last, d)]],
              "theta": [*layers(d, *shape.hidden[::-1]), dense(shape.hidden[0], shape.n_pixels)]}
    x = (rng.random((BATCHES, shape.batch, shape.n_pixels)) < 0.3).astype(np.float32)
    samples = (shape.k,) if shape.k else ()
    eps = rng.standard_normal((BATCHES, *samples, shape.batch, d)).astype(np.float32)
    return params, x, eps


def runner(step, x, eps, finish=float):
    """run(steps): take them, one minibatch after the other, and return the last loss."""
    position = [0]

    def run(steps):
        for _ in range(steps):
            loss = step(x[position[0] % BATCHES], eps[position[0] % BATCHES])
            position[0] += 1
        return finish(loss)

    return run


def vae_np(shape, optimizer, without=None):
    """The step of the package; without one of `TRICKS`, if asked."""
    import autograd.numpy as anp

    import vae_np as v
    from vae_np.extensions.bounds import iwae

    params, x, eps = problem(shape)
    kl, rule, differentiate = v.gaussian_kl, v.rmsprop if optimizer == "rmsprop" else v.adam, v.value_and_grad
    if without:
        kl, rule, differentiate = TRICKS[without](v, kl, rule, differentiate)
    act = {"relu": v.relu, "tanh": v.tanh}[shape.activation]
    widths = [shape.n_pixels, *shape.hidden]
    up = [b for n_in, n_out in zip(widths, widths[1:]) for b in (v.dense(n_in, n_out), act)]
    widths = [shape.latent, *shape.hidden[::-1]]
    down = [b for n_in, n_out in zip(widths, widths[1:]) for b in (v.dense(n_in, n_out), act)]
    head = v.dense(shape.hidden[-1], shape.latent)
    model = v.vae(v.gaussian_posterior(v.sequential(*up, v.heads(head, head)),
                                       kl=kl),
                  v.bernoulli_likelihood(v.sequential(*down, v.dense(shape.hidden[0], shape.n_pixels))))

    def loss(params, x, eps):
        if shape.k:
            return -anp.mean(iwae(model.log_weight(params, x, eps)))
        return anp.mean(model.apply(params, x, eps))

    rule = rule(RATE, epsilon=RMS_EPS if optimizer == "rmsprop" else ADAM_EPS)
    position = [0, None]

    def forever():
        while True:
            yield x[position[0] % BATCHES]

    def noise(n):
        e = eps[position[0] % BATCHES]
        position[0] += 1
        return e

    states = v.train(loss, params, forever(), noise, rule, differentiate)

    def run(steps):
        for _ in range(steps):
            state = next(states)
        return state.loss

    return run


def _without_the_allocators_trick(v, *parts):
    """The step in a new process that imports vae_np without its file `allocator`."""
    if os.environ.get(NO_ALLOCATOR) is None:
        os.environ[NO_ALLOCATOR] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    return parts


def _one_root_for_all(v, kl, rule, differentiate):
    """autograd's own gradient of the whole nest."""
    from autograd import value_and_grad

    return kl, rule, value_and_grad


def _graph_kept(v, *parts):
    """Walking backwards without forgetting each node's activations on the way."""
    from autograd.core import add_outgrads
    from autograd.util import toposort

    from vae_np import autodiff

    def backward(end):
        gradient = {end: (np.ones(()), False)}
        for node in toposort(end):
            if node.parents:
                for parent, part in zip(node.parents, node.vjp(gradient.pop(node)[0])):
                    gradient[parent] = add_outgrads(gradient.get(parent), part)
        return {root: g for root, (g, _) in gradient.items()}

    autodiff.backward = backward
    return parts


def _derivatives_by_autograd(v, kl, rule, differentiate):
    """Dense layer, NLL, KL and location-scale in autograd's operations, derivatives and all."""
    import autograd.numpy as np

    from vae_np import layers, models

    layers.affine = lambda x, W, b: np.dot(x, W) + b
    models.bernoulli_nll = lambda x, l: np.sum(np.maximum(l, 0) - x * l + np.log1p(np.exp(-np.abs(l))), axis=-1)
    models.location_scale = lambda mu, log_var, eps: mu + np.exp(0.5 * log_var) * eps
    return lambda mu, l, z: -0.5 * np.sum(1 + l - mu**2 - np.exp(l), axis=-1), rule, differentiate


def _numpys_log1p(v, *parts):
    """softplus with numpy's log1p."""
    from vae_np import densities

    densities.log1p = np.log1p
    return parts


TRICKS = {"allocator, in a bare script": _without_the_allocators_trick,
          "one traced root for each array": _one_root_for_all, "graph freed on the walk": _graph_kept,
          "formulas as single nodes": _derivatives_by_autograd, "log1p from log": _numpys_log1p}


def one_page(shape, optimizer):
    import autograd.numpy as np
    import one_page as page
    from autograd import value_and_grad
    from autograd.misc import flatten

    params, x, eps = problem(shape)
    w, unflatten = flatten(params)
    w = w.astype(float)
    loss = value_and_grad(lambda w, x, e: np.mean(page.nelbo(unflatten(w), x, e)))
    state = {"w": w, "m": 0 * w, "v": 0 * w, "t": 0}

    def step(x, e):
        value, g = loss(state["w"], x, e)
        state["t"] += 1
        if optimizer == "rmsprop":
            state["v"] = RHO * state["v"] + (1 - RHO) * g**2
            state["w"] = state["w"] - RATE * g / (np.sqrt(state["v"]) + RMS_EPS)
        else:
            state["m"], state["v"] = 0.9 * state["m"] + 0.1 * g, 0.999 * state["v"] + 0.001 * g**2
            m, v = state["m"] / (1 - 0.9 ** state["t"]), state["v"] / (1 - 0.999 ** state["t"])
            state["w"] = state["w"] - RATE * m / (np.sqrt(v) + ADAM_EPS)
        return value

    return runner(step, x.astype(float), eps.astype(float))


def _torch(shape, optimizer, fused=False, compiled=False):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    params, x, eps = problem(shape)

    def parameters(nest):
        if isinstance(nest, dict):
            return {key: torch.nn.Parameter(torch.tensor(a)) for key, a in nest.items()}
        return [parameters(child) for child in nest]

    phi, theta = parameters(params["phi"]), parameters(params["theta"])
    act = {"relu": F.relu, "tanh": torch.tanh}[shape.activation]

    def network(layers, h):
        for p in layers:
            h = torch.matmul(h, p["W"]) + p["b"] if p else act(h)
        return h

    def loss_of(x, e):
        h = network(phi[:-1], x)
        mu, log_var = (torch.addmm(p["b"], h, p["W"]) for p in phi[-1])
        z = mu + torch.exp(0.5 * log_var) * e
        logits = network(theta, z)
        nll = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        if not shape.k:
            return (nll - 0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)).mean()
        kl = 0.5 * (z**2 - log_var - e**2).sum(-1)
        return -(torch.logsumexp(-nll - kl, 0) - np.log(shape.k)).mean()

    everything = [a for nest in (phi, theta) for a in _leaves(nest)]
    options = {"fused": True} if fused else {}
    rule = (torch.optim.RMSprop(everything, RATE, alpha=RHO, eps=RMS_EPS) if optimizer == "rmsprop"
            else torch.optim.Adam(everything, RATE, eps=ADAM_EPS, **options))
    if compiled:
        loss_of = torch.compile(loss_of)

    def step(x, e):
        rule.zero_grad(set_to_none=True)
        loss = loss_of(x, e)
        loss.backward()
        rule.step()
        return loss

    return runner(step, torch.tensor(x), torch.tensor(eps), lambda loss: loss.item())


def _leaves(nest):
    if isinstance(nest, (dict, list, tuple)):
        return [a for child in (nest.values() if isinstance(nest, dict) else nest) for a in _leaves(child)]
    return [nest]


def torch_eager(shape, optimizer):
    return _torch(shape, optimizer)


def torch_fused(shape, optimizer):
    if optimizer == "rmsprop":
        raise NotImplementedError("PyTorch has no fused RMSprop")
    return _torch(shape, optimizer, fused=True)


def torch_compile(shape, optimizer):
    return _torch(shape, optimizer, compiled=True)


def jax_jit(shape, optimizer):
    import jax
    import jax.numpy as jnp

    params, x, eps = problem(shape)
    act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[shape.activation]

    def network(layers, h):
        for p in layers:
            h = h @ p["W"] + p["b"] if p else act(h)
        return h

    def loss_of(params, x, e):
        h = network(params["phi"][:-1], x)
        mu, log_var = (h @ p["W"] + p["b"] for p in params["phi"][-1])
        z = mu + jnp.exp(0.5 * log_var) * e
        logits = network(params["theta"], z)
        nll = (jnp.maximum(logits, 0) - x * logits + jnp.log1p(jnp.exp(-jnp.abs(logits)))).sum(-1)
        if not shape.k:
            return jnp.mean(nll - 0.5 * (1 + log_var - mu**2 - jnp.exp(log_var)).sum(-1))
        kl = 0.5 * (z**2 - log_var - e**2).sum(-1)
        return -jnp.mean(jax.nn.logsumexp(-nll - kl, axis=0) - jnp.log(shape.k))

    def update(params, m, v, t, x, e):
        loss, g = jax.value_and_grad(loss_of)(params, x, e)
        tree = jax.tree.map
        if optimizer == "rmsprop":
            v = tree(lambda v, g: RHO * v + (1 - RHO) * g * g, v, g)
            return tree(lambda p, g, v: p - RATE * g / (jnp.sqrt(v) + RMS_EPS), params, g, v), m, v, t, loss
        t = t + 1
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        return tree(lambda p, m, v: p - RATE * (m / c1) / (jnp.sqrt(v / c2) + ADAM_EPS), params, m, v), m, v, t, loss

    update = jax.jit(update, donate_argnums=(0, 1, 2, 3))
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    state = [jax.tree.map(jnp.array, params), zeros() if optimizer == "adam" else 0.0, zeros(), jnp.zeros(())]

    def step(x, e):
        *state[:], loss = update(*state, x, e)
        return loss

    return runner(step, list(map(jnp.array, x)), list(map(jnp.array, eps)))


def keras_fit(shape, optimizer):
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    from keras import ops

    if shape.k:
        raise NotImplementedError("k samples are not Keras' layout")
    params, x, eps = problem(shape)

    class Reparameterize(keras.layers.Layer):
        def call(self, mu, log_var, e):
            self.add_loss(ops.mean(-0.5 * ops.sum(1 + log_var - mu**2 - ops.exp(log_var), -1)))
            return mu + ops.exp(0.5 * log_var) * e

    image, noise = keras.Input((shape.n_pixels,)), keras.Input((shape.latent,))
    h, dense = image, keras.layers.Dense
    for width in shape.hidden:
        h = dense(width, shape.activation)(h)
    h = Reparameterize()(dense(shape.latent)(h), dense(shape.latent)(h), noise)
    for width in shape.hidden[::-1]:
        h = dense(width, shape.activation)(h)
    model = keras.Model([image, noise], dense(shape.n_pixels)(h))
    model.set_weights([a for nest in (params["phi"], params["theta"]) for a in _leaves(nest)])
    rule = (keras.optimizers.RMSprop(RATE, RHO, epsilon=RMS_EPS) if optimizer == "rmsprop"
            else keras.optimizers.Adam(RATE, epsilon=ADAM_EPS))
    model.compile(rule, lambda x, logits: ops.sum(ops.binary_crossentropy(x, logits, from_logits=True), -1))

    def run(steps):
        every = np.arange(steps) % BATCHES
        images, noises = (a[every].reshape(-1, a.shape[-1]) for a in (x, eps))
        model.fit([images, noises], images, batch_size=shape.batch, epochs=1, shuffle=False, verbose=0)
        return float(model.evaluate([x[every[-1]], eps[every[-1]]], x[every[-1]], batch_size=shape.batch, verbose=0))

    return run


def products(shape, optimizer):
    """The matrix products of one step and nothing else: forward, ∂W, and ∂h except for the input's."""
    params, x, _ = problem(shape)
    rng, k, n = np.random.default_rng(1), max(shape.k, 1), shape.batch
    up, down = [shape.n_pixels, *shape.hidden], [shape.latent, *shape.hidden[::-1], shape.n_pixels]
    work = [(n, a, b, i > 0) for i, (a, b) in enumerate(zip(up, up[1:]))]
    work += [(n, up[-1], shape.latent, True)] * 2 + [(n * k, a, b, True) for a, b in zip(down, down[1:])]
    arrays = [(rng.random((m, a), np.float32), rng.random((a, b), np.float32), rng.random((m, b), np.float32), inner)
              for m, a, b, inner in work]

    def step(x, e):
        for h, W, _, _ in arrays:
            out = h @ W
        for h, W, g, inner in arrays[::-1]:
            out = h.T @ g
            if inner:
                out = g @ W.T
        return out[0, 0]

    return runner(step, x, x, lambda loss: float("nan"))


SYSTEMS = {"vae_np": vae_np, "one page, float64": one_page, "PyTorch eager": torch_eager, "PyTorch fused": torch_fused,
           "torch.compile": torch_compile, "JAX jit": jax_jit, "Keras 3 fit (JAX)": keras_fit,
           "matrix products": products,
           **{f"without {trick}": partial(vae_np, without=trick) for trick in TRICKS}}
