"""A classifier learns log q(z) − log p(z) from samples alone; its mean under q is the KL divergence.

Let T(z) be the logit of a classifier that tells samples of q from samples of p. Its loss,
E_q[−log σ(T)] + E_p[−log{1 − σ(T)}], is least at T* = log q − log p, and then KL[q ‖ p] = E_q[T*]: no density needed.
Three questions, on laws whose KL is known, by three seeds each. Is the estimate right? What happens where q and p
hardly overlap? And what does adaptive contrast change, which leaves to the classifier only log q − log r, r the
Gaussian of q's moments?
A KL stays as it is where both laws are shifted and scaled alike, so p is N(0, I) throughout: of the first pair, with
standard deviations 1 and 2.5, q becomes N([1.6, 0.8], 0.4²). The last row has a q for each x and one critic T(x, z).
Sugiyama, Suzuki & Kanamori (2012), chapter 4; Mescheder, Nowozin & Geiger (2017), sections 3 and 4.
"""

from support.common import options, positive, progress, run, streams, table, takes

import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure

from vae_np import Block, adam, dense, gaussian_kl, gaussian_log_ratio, sequential, tanh, train
from vae_np.extensions.adversarial import critic_loss, implicit_posterior, moments
from vae_np.extensions.pairs import critic

WIDTH, BATCH, STEPS, RATES = 64, 256, 4_000, (2e-3, 2e-4)   # the second rate for the last quarter
EVERY, WATCHED, BANK = 50, 5_000, 4_000   # the curve is drawn every 50 steps; r has the moments of 4,000 samples
SECONDS = 100                             # for each seed, on one core


def gaussian(mu, sigma):
    """z = μ + σ ε, its log-ratio to N(0, I) and its KL, all in closed form."""
    mu, sigma = onp.asarray(mu, float), onp.broadcast_to(sigma, onp.shape(mu)).astype(float)
    return (lambda x, eps: mu + sigma * eps, lambda x, z: gaussian_log_ratio(mu, 2 * onp.log(sigma), z),
            lambda x: gaussian_kl(mu, 2 * onp.log(sigma)))


def banana(shift):
    """z = (ε₁, ε₁² − 1 + ½ ε₂) + shift: no Gaussian, yet KL = log 2 − ½ + ½ (¼ + 2) + ½ |shift|²."""
    def log_ratio(x, z):
        a, b = (z - shift).T
        return onp.log(2) - a ** 2 / 2 - 2 * (b - a ** 2 + 1) ** 2 + onp.sum(z ** 2, axis=-1) / 2

    return (lambda x, eps: onp.stack([eps[..., 0], eps[..., 0] ** 2 - 1 + eps[..., 1] / 2], -1) + shift, log_ratio,
            lambda x: onp.log(2) - 0.5 + 1.125 + onp.dot(shift, shift) / 2)


def conditional(x):
    return 2 * onp.sin(2 * x), -1.5 + onp.cos(4 * x)            # μ(x), log σ²(x), for x in [−1, 1]


def one_q_for_each_x():
    return (lambda x, eps: conditional(x)[0] + onp.exp(conditional(x)[1] / 2) * eps,
            lambda x, z: gaussian_log_ratio(*conditional(x), z), lambda x: gaussian_kl(*conditional(x)))


CASES = [  # name, latents, features of x, (sample, log-ratio, KL)
    ("N([1, 4], 1) ‖ N([−3, 2], 2.5²)", 2, 0, gaussian([1.6, 0.8], 0.4)),
    ("N(0.8, 0.6²) ‖ N(0, 1)", 1, 0, gaussian([0.8], 0.6)),
    ("N([4, 4], 0.5²) ‖ N(0, I): far apart", 2, 0, gaussian([4, 4], 0.5)),
    ("banana ‖ N(0, I)", 2, 0, banana(onp.zeros(2))),
    ("banana + [4, 3] ‖ N(0, I): far apart", 2, 0, banana(onp.array([4.0, 3.0]))),
    ("N(μ(x), σ²(x)) ‖ N(0, 1), mean over x", 1, 1, one_q_for_each_x()),
]


def estimate(case, contrasted, steps, seed):
    """Train a critic on one case. Returns the curve (step, its estimate of the KL) and (x, ε) ↦ z, its log-ratio."""
    name, d, features, (sample, _, _) = case
    init, data, noise, test = streams(seed)
    sampler = Block(lambda rng: (), lambda phi, x, eps: sample(x, eps), "q")
    T = critic(sequential(dense(features + d, WIDTH), tanh, dense(WIDTH, WIDTH), tanh, dense(WIDTH, 1)))
    contrast, ratio = None, None
    if contrasted:
        r = moments(sampler, noise.standard_normal((BANK, d)))((), onp.zeros((1, 0)))  # q stays: fitted once
        contrast, ratio = lambda phi, x: r, gaussian_log_ratio
    loss, psi, last, curve = critic_loss(sampler, T, contrast), T.init(init), None, []
    watched, eps = test.uniform(-1, 1, (WATCHED, features)), test.standard_normal((WATCHED, d))

    def log_ratio(psi, x, eps):
        return implicit_posterior(sampler, T, psi, contrast, ratio).apply((), x, eps)

    with progress(None, steps, name) as bar:
        for rate, count in zip(RATES, (steps - steps // 4, steps // 4)):
            for state in train(lambda psi, x, draws: np.mean(loss(psi, (), x, *draws)), psi,
                               (data.uniform(-1, 1, (BATCH, features)) for _ in range(count)),
                               lambda n: noise.standard_normal((2, n, d)), adam(rate), resume=last):
                bar.update()
                if state.step % EVERY == 0:
                    curve.append((state.step, float(onp.mean(log_ratio(state.params, watched, eps)[1]))))
            last = state
    return onp.array(curve), lambda x, eps: log_ratio(last.params, x, eps)


def main(arguments):
    steps, judged, runs = (EVERY, 10_000, 1) if arguments.quick else (STEPS, 100_000, arguments.runs)
    takes(0 if arguments.quick else SECONDS * runs)
    rows, drawn = [], None
    figure = Figure(layout="constrained", figsize=(11, 6.4))
    panels = figure.subplots(2, 3).ravel()
    for case, panel in zip(CASES, panels):
        name, d, features, (sample, log_ratio, kl) = case
        test = streams(arguments.seed + 1)[3]
        x, eps = test.uniform(-1, 1, (judged, features)), test.standard_normal((judged, d))
        exact, truth = onp.mean(kl(x)), log_ratio(x, sample(x, eps))
        row = [name, f"{exact:.4f}", f"{truth.mean():.4f} ± {truth.std() / judged ** 0.5:.4f}"]
        for contrasted, color in ((False, "C0"), (True, "C1"))[:1 if features else 2]:
            means, errors = [], []
            for seed in range(arguments.seed, arguments.seed + runs):
                curve, learned = estimate(case, contrasted, steps, seed)
                values = learned(x, eps)[1]
                means.append(f"{values.mean():.3f}")
                errors.append(f"{onp.sqrt(onp.mean((values - truth) ** 2)):.3f}")
                first = seed == arguments.seed
                drawn = learned if first else drawn
                panel.plot(*curve.T, color=color, linewidth=1,
                           label=None if not first else "critic, adaptive contrast" if contrasted else "critic")
            row += [", ".join(means), ", ".join(errors)]
        rows.append((row + ["-", "-"])[:7])
        panel.axhline(exact, color="black", linestyle="--", linewidth=1, label="exact")
        panel.set(title=name, xlabel="steps of the critic", ylabel="KL[q ‖ p] (nats)",
                  ylim=(0, max(1.25 * exact, 1.02 * panel.dataLim.y1)))
        panel.title.set_fontsize(10)
        panel.legend(loc="lower right", fontsize=8)
    figure.suptitle(f"A line for each of {runs} seeds", fontsize=10)
    print("KL[q ‖ p] in nats; error: root mean square over q of (learned − true) log-ratio; critics of "
          f"{steps} steps, seeds {', '.join(str(arguments.seed + i) for i in range(runs))}")
    table(("q ‖ p", "exact", "Monte Carlo", "critic", "error", "contrast", "error"), rows)
    figure.savefig(os.path.join(arguments.out, "kl_while_training.png"), dpi=120)
    draw_conditional(drawn, arguments.out, arguments.seed)


def draw_conditional(learned, out, seed):
    """The amortized critic: KL[q(z|x) ‖ p] for every single x, of which training saw only the mixture."""
    xs = onp.linspace(-1, 1, 81)[:, None]
    eps = onp.random.default_rng(0).standard_normal((2_000, len(xs), 1))
    figure = Figure(layout="constrained", figsize=(6, 3.6))
    panel = figure.subplots()
    panel.plot(xs, gaussian_kl(*conditional(xs)), "k--", linewidth=1, label="exact")
    panel.plot(xs, learned(xs, eps)[1].mean(axis=0), "C0", label="critic T(x, z), mean over q(z|x)")
    panel.set(xlabel="x", ylabel="KL[q(z|x) ‖ p(z)] (nats)", title=f"One critic for every x, seed {seed}")
    panel.legend()
    figure.savefig(os.path.join(out, "kl_by_x.png"), dpi=120)


if __name__ == "__main__":
    parser = options(__doc__, "density_ratio")
    parser.add_argument("--runs", type=positive, default=3, help="seeds for each critic, from --seed on")
    run(main, parser)
