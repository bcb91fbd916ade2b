"""Planar flows bend a Gaussian to four densities that no Gaussian fits, the better the more of them there are.

A density p(z) ∝ e^−U(z) is approximated by q_K, a Gaussian passed through K planar flows, by minimising
    KL[q_K ‖ p] = E_q[log q_K(z_K) + U(z_K)] + log Z,   Z = ∫ e^−U(z) dz.
log Z is found by quadrature, so that the figures have a meaning by themselves: 0 is reached by q_K = p alone.
Rezende & Mohamed (2015), section 6.1, Table 1 and figure 3. Three of their energies do not grow along the first axis
and so have no normaliser; here all four end in a wall outside of |z₁| ≤ 4, the square that the paper draws.
"""

from support import common

import os
from collections import deque

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure

from vae_np import adam, constant, gaussian_nll, heads, train
from vae_np.extensions.flows import flow_posterior, planar, shared

LENGTHS = (2, 8, 32)
STEPS, BATCH = 2000, 200
STAGES = ((0.5, 1e-2), (0.3, 3e-3), (0.2, 5e-4))   # share of the steps, Adam's learning rate
SAMPLES = 200_000                                 # for the divergence; the figure takes five times as many
SECONDS = 120                                     # for each seed, on one core
EDGE = 4.0


def squared(distance, width):
    return 0.5 * (distance / width) ** 2


def wave(z):
    return np.sin(2 * np.pi * z[..., 0] / 4)


def bump(z):
    return 3 * np.exp(-squared(z[..., 0] - 1, 0.6))


def ramp(z):
    return 1.5 * (1 + np.tanh((z[..., 0] - 1) / 0.6))  # 3 σ((z₁ − 1)/0.3)


def two(a, b):
    return -np.logaddexp(-a, -b)


ENERGIES = {
    "U1": lambda z: (squared(np.sqrt(np.sum(z ** 2, axis=-1)) - 2, 0.4)
                     + two(squared(z[..., 0] - 2, 0.6), squared(z[..., 0] + 2, 0.6))),
    "U2": lambda z: squared(z[..., 1] - wave(z), 0.4),
    "U3": lambda z: two(squared(z[..., 1] - wave(z), 0.35), squared(z[..., 1] - wave(z) + bump(z), 0.35)),
    "U4": lambda z: two(squared(z[..., 1] - wave(z), 0.4), squared(z[..., 1] - wave(z) + ramp(z), 0.35)),
}


def energy(name, z):
    """U(z), with the wall: 0 in the square, ½ ((|z₁| − 4)/0.4)² outside."""
    return ENERGIES[name](z) + squared(np.maximum(np.abs(z[..., 0]) - EDGE, 0), 0.4)


def grid(n, edge):
    """The n × n midpoints of [−edge, edge]², and the area of a cell."""
    axis = (onp.arange(n) + 0.5) * 2 * edge / n - edge
    return onp.stack(onp.meshgrid(axis, axis), axis=-1), (2 * edge / n) ** 2


def log_normaliser(name, n=1600):
    """log ∫ e^−U(z) dz by the midpoint rule on [−8, 8]², outside of which e^−U is below 1e-12."""
    z, cell = grid(n, 8.0)
    return float(onp.log(onp.sum(onp.exp(-energy(name, z))) * cell))


def fit(name, flows, steps, rng_init, rng_noise):
    """The flow's parameters after `steps` steps on E[log q_K(z_K) + β U(z_K)], β rising from 0.01 to 1 on the way."""
    flow = planar(2, flows)
    posterior = flow_posterior(heads(constant(2), constant(2), shared(flow)), flow)  # an encoder that sees nothing

    def terms(phi, inverse_temperature, eps):
        z, kl = posterior.apply(phi, inverse_temperature, eps)
        return kl - gaussian_nll(z, 0.0, 0.0), z   # kl is against N(0, I): taking that out leaves log q_K(z_K)

    def loss(phi, inverse_temperature, eps):
        log_q, z = terms(phi, inverse_temperature, eps)
        return np.mean(log_q + inverse_temperature[:, 0] * energy(name, z))

    noise = lambda n: rng_noise.standard_normal((n, 2), onp.float32)
    state, phi, done = None, posterior.init(rng_init), 0
    for share, learning_rate in STAGES:
        count = max(1, round(share * steps))
        betas = (onp.full((BATCH, 1), min(1, 0.01 + 2 * t / steps), onp.float32) for t in range(done, done + count))
        states = train(loss, phi, betas, noise, adam(learning_rate), resume=state)
        state = deque(common.progress(states, count, f"{name}, K = {flows}"), maxlen=1).pop()
        done += count
    return state.params, terms


def main(arguments):
    steps, samples, runs = (4, 2000, 2) if arguments.quick else (arguments.steps, SAMPLES, arguments.runs)
    common.takes(SECONDS * runs * steps / STEPS)
    streams = [common.streams(seed) for seed in range(arguments.seed, arguments.seed + runs)]
    n = 200 if arguments.quick else 1600
    figure = Figure(layout="constrained", figsize=(8.4, 8.6))
    axes = figure.subplots(len(ENERGIES), 1 + len(LENGTHS), sharex=True, sharey=True)
    rows, errors = [], []
    for row, name in zip(axes, ENERGIES):
        log_z = log_normaliser(name, n)
        z, _ = grid(200, EDGE)
        draw(row[0], onp.exp(-energy(name, z) - log_z), f"{name}: exact")
        cells = []
        for axis, flows in zip(row[1:], LENGTHS):
            kls, counts = [], 0.0
            for rng_init, _, rng_noise, rng_test in streams:
                phi, terms = fit(name, flows, steps, rng_init, rng_noise)
                for _ in range(1 if kls else 5):   # the first seed's is drawn
                    log_q, z = terms(phi, onp.zeros((samples, 1)), rng_test.standard_normal((samples, 2), onp.float32))
                    if not kls:
                        counts += onp.histogram2d(z[:, 1], z[:, 0], bins=100, range=[(-EDGE, EDGE)] * 2)[0]
                ratio = log_q.astype(float) + energy(name, z.astype(float)) + log_z
                kls.append(ratio.mean())
                errors.append(ratio.std() / onp.sqrt(samples))
            cells.append(", ".join(f"{kl:.3f}" for kl in kls))
            draw(axis, counts / (5 * samples) / (2 * EDGE / 100) ** 2, f"K = {flows}: KL {kls[0]:.2f} nats")
        rows.append([name, f"{log_z:.4f}", *cells, "0"])
    figure.suptitle(f"seed {arguments.seed}", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("$z_1$")
    for axis in axes[:, 0]:
        axis.set_ylabel("$z_2$")
    figure.savefig(os.path.join(arguments.out, "energies.png"), dpi=120)
    print(f"KL[q_K ‖ p] in nats after {steps} steps of batch {BATCH}, in each cell {runs} seeds; by {samples} samples, "
          f"standard error at most {max(errors):.3f}; log Z by quadrature")
    common.table(["energy", "log Z", *(f"K = {flows}" for flows in LENGTHS), "optimum"], rows)


def draw(axis, density, title):
    axis.imshow(density, origin="lower", extent=(-EDGE, EDGE, -EDGE, EDGE), cmap="viridis", vmin=0)
    axis.set_title(title, fontsize=10)


parser = common.options(__doc__, "energies")
parser.add_argument("--steps", type=common.positive, default=STEPS, help="of Adam, for each energy and length")
parser.add_argument("--runs", type=common.positive, default=3, help="seeds of each, from --seed on")

if __name__ == "__main__":
    common.run(main, parser)
