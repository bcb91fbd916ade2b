"""Planar flows after the encoder's Gaussian, on MNIST: K = 0, 10 and 20 at the same number of steps.

z_K = f_K(… f_1(μ(x) + σ(x) ⊙ ε)), and the bound is E[−log p(x|z_K) + log q_K(z_K|x) − log p(z_K)].
Rezende & Mohamed (2015), section 6.2. Pixels are binary, drawn anew from the gray values each time they are shown.
The paper's flows have parameters that depend on x; ours are one set for all x. Such a flow can be read as part of the
decoder: f_K ∘ … ∘ f_1 turns a prior that is learned into N(0, I), so what it buys is what a learned prior buys.
Beside the bound stands −log p(x) by importance sampling with q_K, so that one sees what changed: the model or the gap.
"""

from support import common, data

import os
import sys
import time

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.special import logsumexp

from vae_np import (
    adam,
    bernoulli_likelihood,
    dense,
    dynamic,
    evaluate,
    gaussian_noise,
    heads,
    minibatches,
    sequential,
    tanh,
    train,
    vae,
)
from vae_np.extensions.flows import flow_posterior, planar

LENGTHS = (0, 10, 20)
EPOCHS, BATCH, HIDDEN, LATENT = 6, 100, 200, 40
IMAGES, SAMPLES = 1000, 200   # of the test set, and for each of them, for the importance-sampled log-likelihood


def model_of(flows):
    encoder = sequential(dense(784, HIDDEN), tanh, heads(dense(HIDDEN, LATENT), dense(HIDDEN, LATENT)))
    decoder = sequential(dense(LATENT, HIDDEN), tanh, dense(HIDDEN, 784))
    posterior = flow_posterior(encoder, planar(LATENT, flows))
    return posterior, vae(posterior, bernoulli_likelihood(decoder))


def log_likelihood(model, params, x, samples, rng):
    """log (1/k) Σ_i w_i for each image: a lower bound on log p(x) that is tight as k grows."""
    log_w = [model.log_weight(params, x, rng.standard_normal((10, len(x), LATENT), onp.float32))
             for _ in range(samples // 10)]
    return logsumexp(onp.concatenate(log_w).astype(float), axis=0) - onp.log(10 * (samples // 10))


def main(arguments):
    x_train, _, x_test, _ = data.load(arguments.data)
    x_train, x_test = x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)
    epochs, images, samples = (1, 100, 10) if arguments.quick else (arguments.epochs, IMAGES, SAMPLES)
    if arguments.quick:
        x_train, x_test = x_train[:2000], x_test[:500]
    rows, curves = [], []
    for flows in LENGTHS:
        rng_init, rng_data, rng_noise, rng_test = common.streams(arguments.seed)   # the same for all three
        binary_train, binary_test = map(dynamic, rng_data.spawn(2))
        posterior, model = model_of(flows)

        def terms(params, x, eps, posterior=posterior, model=model):
            nelbo = model.apply(params, x, eps)
            return nelbo, posterior.apply(params["phi"], x, eps)[1]

        params, per_epoch = model.init(rng_init), -(-len(x_train) // BATCH)
        batches = minibatches(rng_data, x_train, BATCH, epochs=epochs, pixels=binary_train)
        states = train(lambda params, x, eps, model=model: np.mean(model.apply(params, x, eps)), params, batches,
                       gaussian_noise(rng_noise, LATENT), adam(1e-3))
        curve, losses, spent, start = [], [], 0.0, time.perf_counter()
        for state in common.progress(states, epochs * per_epoch, f"K = {flows}"):
            losses.append(state.loss)
            if state.step % per_epoch == 0:
                spent += time.perf_counter() - start
                fresh = minibatches(None, x_test, 500, pixels=binary_test)
                nelbo, kl = evaluate(terms, state.params, fresh, gaussian_noise(rng_test, LATENT))
                curve.append((state.step // per_epoch, nelbo, onp.mean(losses)))
                losses, start = [], time.perf_counter()
        print(f"K = {flows}: {spent:.0f} s of training", file=sys.stderr)
        x = binary_test(x_test[:images])
        log_p = log_likelihood(model, state.params, x, samples, rng_test)
        bound = onp.mean([model.apply(state.params, x, rng_test.standard_normal(onp.shape(x[:, :LATENT]), onp.float32))
                          for _ in range(20)])
        rows.append([flows, f"{onp.mean(curve[-1][2]):.2f}", f"{nelbo:.2f}", f"{kl:.2f}", f"{bound:.2f}",
                     f"{-log_p.mean():.2f}", f"{bound + log_p.mean():.2f}"])
        curves.append(onp.array(curve))
    figure = Figure(layout="constrained", figsize=(6, 4))
    axis = figure.subplots()
    for flows, curve in zip(LENGTHS, curves):
        axis.plot(curve[:, 0], curve[:, 1], "o-", ms=3, label=f"K = {flows}")
    axis.set(xlabel="epoch", ylabel="test NELBO (nats, binary pixels)",
             title=f"MNIST, {LATENT} latents, planar flows of global parameters")
    axis.legend()
    figure.savefig(os.path.join(arguments.out, "flow_vae.png"), dpi=120)
    print(f"MNIST, dynamically binarized pixels, {epochs} epochs of {len(x_train)} images; nats for each image. "
          f"Columns from the fifth: {images} test images, {samples} importance samples")
    common.table(["K", "train NELBO", "test NELBO", "of it KL", "NELBO", "-log p(x) <=", "gap"], rows)
    print("Published, longer training and flows that depend on x: K = 0 at most 89.9, K = 80 at most 85.1 nats")


parser = common.options(__doc__, "flow_vae")
parser.add_argument("--epochs", type=common.positive, default=EPOCHS, help="of training, for each K")
parser.add_argument("--data", default=None, help="a folder of IDX files or an .npz, in place of MNIST")

if __name__ == "__main__":
    common.run(main, parser)
