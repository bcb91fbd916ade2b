"""What trips people up, measured: each usual mistake is planted in the post's model, and its cost printed in nats.

    −ELBO = Σ_j {log(1 + e^l_j) − x_j l_j} − ½ Σ_k {1 + log σ_k² − μ_k² − σ_k²},    z = μ + e^{½ log σ²} ε

is one line with room for many errors, and most of them train without a word. Here each takes the place of one argument
of `train_with`; initial weights, order of the data and noise are the same as for the right model. Whatever was
minimised, the result is judged by the right −ELBO: gray test pixels, sampled ε, Kingma & Welling (2014), eq. 10 and
appendices B and C.1. Beside it stands what the mistaken formula itself would print. Where the engine's parts refuse a
mistake, it is planted in the plain formula, and the line of the refusal is printed.
"""

import os
import sys
from types import SimpleNamespace

import autograd.numpy as np
import numpy as onp

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # demos/, where support is
from support import common, data  # noqa: E402

from vae_np import (  # noqa: E402
    bernoulli_likelihood,
    bernoulli_nll,
    dense,
    dynamic,
    elementwise,
    evaluate,
    gaussian_kl,
    gaussian_noise,
    gaussian_posterior,
    gray,
    heads,
    location_scale,
    log_likelihood,
    minibatches,
    relu,
    rmsprop,
    sequential,
    sigmoid,
    softplus,
    threshold,
    train,
    vae,
)
from vae_np.extensions.bounds import elbo, iwae  # noqa: E402
from vae_np.nests import leaves, rebuild  # noqa: E402
from vae_np.tools import plots  # noqa: E402

D, HIDDEN, LATENT, BATCH = 784, 256, 2, 100
encoder = sequential(dense(D, HIDDEN), relu, heads(dense(HIDDEN, LATENT), dense(HIDDEN, LATENT)))
decoder = sequential(dense(LATENT, HIDDEN), relu, dense(HIDDEN, D))
likelihood = bernoulli_likelihood(decoder)
model = vae(gaussian_posterior(encoder), likelihood)


def rectified_log_var(phi, x):
    mu, log_var = encoder.apply(phi, x)
    return mu, relu.apply((), log_var)


def rmsprop_inside(eta=1e-3, rho=0.9, epsilon=1e-7):
    """θ ← θ − η g / √(v + ε): the ε of Keras' default, but inside the root."""
    def update(params, gradient, v):
        v = [rho * a + (1 - rho) * g**2 for a, g in zip(v, leaves(gradient))]
        return rebuild(params, [p - eta * g / onp.sqrt(a + epsilon)
                                for p, g, a in zip(leaves(params), leaves(gradient), v)]), v

    return SimpleNamespace(init=lambda params: [onp.zeros_like(leaf) for leaf in leaves(params)], update=update)


def over_pixels(x, logits):
    return bernoulli_nll(x, logits) / D


def of_bytes(x, logits):
    """What bernoulli_nll computes of bytes, if it lets them through."""
    return np.sum(softplus(logits) - 255 * x * logits, axis=-1)


# Each mistake is what it replaces: the names are those of train_with's arguments.
MISTAKES = {
    "NLL as mean over pixels, KL as sum": {"nll": over_pixels},
    "KL divided by the 784 pixels": {"kl": lambda mu, log_var: gaussian_kl(mu, log_var) / D},
    "both divided by 784": {"nll": over_pixels, "kl": lambda mu, log_var: gaussian_kl(mu, log_var) / D},
    "KL summed over the batch": {"kl": lambda mu, log_var: gaussian_kl(mu, log_var) * BATCH},
    "KL without its ½": {"kl": lambda mu, log_var: 2 * gaussian_kl(mu, log_var)},
    "KL's sign turned": {"kl": lambda mu, log_var: -gaussian_kl(mu, log_var)},
    "σ = e^{log σ²}, without the ½": {"sample": lambda mu, log_var, eps: mu + np.exp(log_var) * eps},
    "log σ² through a relu": {"encode": rectified_log_var},
    "ε with standard deviation 0.01": {"noise": lambda noise: lambda n: np.float32(0.01) * noise(n)},
    "one ε for the whole batch": {"noise": lambda noise: lambda n: np.repeat(noise(1), n, axis=0)},
    "sigmoid before a loss on logits": {"nll": lambda x, logits: bernoulli_nll(x, sigmoid(logits))},
    "bytes not divided by 255": {"encode": lambda phi, x: encoder.apply(phi, 255 * x), "nll": of_bytes},
    "bytes as the loss's target alone": {"nll": of_bytes},
    "RMSprop's ε inside the root": {"optimizer": rmsprop_inside()},
    "... and both divided by 784": {"optimizer": rmsprop_inside(), "nll": over_pixels,
                                    "kl": lambda mu, log_var: gaussian_kl(mu, log_var) / D},
    "trained on pixels cut at ½": {"pixels": lambda rng: threshold},
    "trained on pixels drawn anew": {"pixels": dynamic},
}

# The same slips made with the engine's own parts, where it says no.
REFUSED = {
    "sigmoid before a loss on logits": lambda x, eps: _apply(
        gaussian_posterior(encoder), bernoulli_likelihood(sequential(decoder, elementwise(sigmoid))), x, eps),
    "bytes not divided by 255": lambda x, eps: _apply(gaussian_posterior(encoder), likelihood, 255 * x, eps),
    "bytes as the loss's target alone": lambda x, eps: likelihood.apply(
        model.init(onp.random.default_rng(0))["theta"], 255 * x, eps),
    "closed-form KL for log q − log p": lambda x, eps: log_likelihood(
        vae(gaussian_posterior(encoder, kl=lambda mu, log_var, z: gaussian_kl(mu, log_var)), likelihood),
        model.init(onp.random.default_rng(0)), x, lambda n: eps, k=1),
    "a mean over the data before the model": lambda x, eps: _apply(
        gaussian_posterior(encoder, kl=lambda mu, log_var, z: np.mean(gaussian_kl(mu, log_var))), likelihood, x, eps),
    "an IWAE bound without an axis of samples": lambda x, eps: iwae(
        model.log_weight(model.init(onp.random.default_rng(0)), x, eps)),
}


def _apply(posterior, likelihood, x, eps):
    block = vae(posterior, likelihood)
    return block.apply(block.init(onp.random.default_rng(0)), x, eps)


def train_with(seed, x_train, epochs, encode=encoder.apply, sample=location_scale, nll=bernoulli_nll,
               kl=lambda mu, log_var: gaussian_kl(mu, log_var), noise=lambda noise: noise, pixels=lambda rng: gray,
               optimizer=None):
    """Parameters after training, the step at which that broke off or None, and the mistaken terms for the test set."""
    init, data_rng, noise_rng, test_rng = common.streams(seed)

    def terms(params, x, eps):
        mu, log_var = encode(params["phi"], x)
        return nll(x, decoder.apply(params["theta"], sample(mu, log_var, eps))), kl(mu, log_var)

    def loss(params, x, eps):
        return np.mean(sum(terms(params, x, eps)))

    params, broken = model.init(init), None
    try:
        for state in train(loss, params, minibatches(data_rng, x_train, BATCH, epochs, pixels=pixels(data_rng)),
                           noise(gaussian_noise(noise_rng, LATENT)), optimizer or rmsprop(1e-3)):
            params = state.params
    except FloatingPointError as error:
        broken = str(error).split(":")[0]
    return params, broken, terms, pixels(test_rng), noise(gaussian_noise(test_rng, LATENT))


def right(seed, params, x_test, encode=encoder.apply):
    """The right −log p(x|z) and KL, in nats: gray pixels, ε ~ N(0, I) from the seed's test stream."""
    def terms(params, x, eps):
        mu, log_var = encode(params["phi"], x)
        z = location_scale(mu, log_var, eps)
        return likelihood.apply(params["theta"], x, z), gaussian_kl(mu, log_var)

    return test(terms, params, x_test, gray, gaussian_noise(common.streams(seed)[3], LATENT))


def test(terms, params, x, pixels, noise):
    with onp.errstate(over="ignore", invalid="ignore"):  # mistakes may overflow, and then print inf or nan
        return onp.array(evaluate(terms, params, minibatches(None, x, 1000, pixels=pixels), noise))


def number(value):
    return f"{value:.2f}" if abs(value) < 1e5 else f"{value:.0e}" if onp.isfinite(value) else "not finite"


def main(arguments):
    x_train, _, x_test, _ = data.load()
    x_train, x_test = (x.reshape(len(x), D) for x in (x_train, x_test))
    if arguments.quick:
        x_train, x_test = x_train[:300], x_test[:200]
    seeds = [arguments.seed + i for i in range(1 if arguments.quick else arguments.seeds)]
    if not arguments.quick:
        common.takes(135 * arguments.epochs * len(seeds))

    kept, base = {}, {}
    for seed in seeds:
        params, _, terms, pixels, noise = train_with(seed, x_train, arguments.epochs)
        base[seed] = right(seed, params, x_test)
        kept.setdefault("the right model", params)
    spread = onp.array([base[seed].sum() for seed in seeds])
    means = [*onp.mean([*base.values()], axis=0), spread.mean()]
    rows = [("the right model", "", number(spread[0]), *map(number, means), "",
             f"{spread.min() - spread.mean():+.2f} to {spread.max() - spread.mean():+.2f}")]
    steps = common.progress([(name, seed) for name in MISTAKES for seed in seeds], len(MISTAKES) * len(seeds))
    found = {name: [] for name in MISTAKES}
    for name, seed in steps:
        params, broken, terms, pixels, noise = train_with(seed, x_train, arguments.epochs, **MISTAKES[name])
        prints = broken or number(test(terms, params, x_test, pixels, noise).sum())
        terms = right(seed, params, x_test, MISTAKES[name].get("encode", encoder.apply))
        found[name].append((prints, *terms, terms.sum() - base[seed].sum()))
        kept.setdefault(name, params)
    for name, results in found.items():
        prints, nll, kl, cost = zip(*results)
        mean, least, most = (f"{c:+.2f}" if abs(c) < 1e5 else number(c) for c in (onp.mean(cost), min(cost), max(cost)))
        rows.append((name, "refuses" if name in REFUSED else "", prints[0], number(onp.mean(nll)), number(onp.mean(kl)),
                     number(onp.mean(nll) + onp.mean(kl)), mean,
                     f"{least} to {most}" if onp.isfinite(cost).all() else ""))
    common.table(("trained with", "engine", "prints", "right NLL", "KL", "−ELBO", "cost", "over seeds"), rows)

    print()
    common.table(("one trained model, seed " + str(seeds[0]), "nats", "− right"), figures_of_one_model(
        kept["the right model"], seeds[0], x_test, 50 if arguments.quick else 500, 20 if arguments.quick else 2000))
    print("\nThe engine refuses:")
    x, eps = gray(x_test[:3]), onp.zeros((3, LATENT), onp.float32)
    for name, slip in REFUSED.items():
        try:
            slip(x, eps)
        except ValueError as error:
            print(f"  {name}\n    {error}")
    draw(os.path.join(arguments.out, "mistakes.png"), kept, x_test, seeds[0])


def figures_of_one_model(params, seed, x_test, n, k):
    """Rows: what is reported of one and the same model, right and wrong; of the first n images where by k samples."""
    nelbo = right(seed, params, x_test).sum()

    def reported(pixels=gray, scale=1.0):
        noise = gaussian_noise(common.streams(seed)[3], LATENT)
        return test(lambda *args: (model.apply(*args),), params, x_test, pixels,
                    lambda count: np.float32(scale) * noise(count))[0]

    rows = [(name, number(value), f"{value - nelbo:+.2f}") for name, value in (
        ("−ELBO, gray pixels, z ~ q", nelbo), ("at z = μ", reported(scale=0)),
        ("ε with standard deviation 0.01", reported(scale=0.01)),
        ("pixels drawn as Bern(gray)", reported(dynamic(onp.random.default_rng(seed)))),
        ("pixels cut at ½", reported(threshold)))]

    x, rng = gray(x_test[:n]), onp.random.default_rng(seed)
    log_w, wrong = [], []
    for i in range(0, n, 10):  # ten images at a time, k samples of each
        eps = rng.standard_normal((k, len(x[i:i + 10]), LATENT), onp.float32)
        log_w.append(model.log_weight(params, x[i:i + 10], eps))
        wrong.append(-model.apply(params, x[i:i + 10], eps))
    log_w, wrong = onp.concatenate(log_w, axis=1), onp.concatenate(wrong, axis=1)
    truth = -onp.mean(iwae(log_w))
    for name, value in ((f"−log p(x), {k} samples, first {n} images", truth),
                        ("−ELBO of these, from log-weights", -onp.mean(elbo(log_w))),
                        ("'IWAE' with the closed-form KL inside", -onp.mean(iwae(wrong)))):
        rows.append((name, number(value), f"{value - truth:+.2f}"))
    exact, claimed = linear_gaussian()
    return [*rows, ("exact: z ~ N(0, 1), x ~ N(z, 1), −E log p(x)", f"{exact:.4f}", ""),
            ("the same 'IWAE' there at the exact posterior, k → ∞", f"{claimed:.4f}", f"{claimed - exact:+.4f}")]


def linear_gaussian():
    """−E log p(x), and −E{log E_q[p(x|z)] − KL[q ‖ p]} at q = p(z|x) = N(x/2, ½), both over x ~ N(0, 2), in nats."""
    x, w = onp.polynomial.hermite_e.hermegauss(20)
    x, w = x * onp.sqrt(2), w / w.sum()

    def log_normal(x, mean, variance):
        return -0.5 * (onp.log(2 * onp.pi * variance) + (x - mean) ** 2 / variance)

    kl = gaussian_kl(x[:, None] / 2, onp.full((len(x), 1), onp.log(0.5)))
    return -w @ log_normal(x, 0, 2), -w @ (log_normal(x, x / 2, 1 + 0.5) - kl)


def draw(path, kept, x_test, seed):
    """A row for each model: eight test digits decoded at z ~ q(z|x), then eight decoder means at z ~ N(0, I)."""
    rng = onp.random.default_rng(seed)
    x, eps, z = gray(x_test[:8]), rng.standard_normal((8, LATENT), onp.float32), rng.standard_normal((8, LATENT))
    rows = [onp.concatenate([x, onp.ones_like(x)])]
    for name, params in kept.items():
        with onp.errstate(over="ignore", invalid="ignore"):
            mu, log_var = MISTAKES.get(name, {}).get("encode", encoder.apply)(params["phi"], x)
            means = [likelihood.mean(params["theta"], a) for a in (location_scale(mu, log_var, eps),
                                                                   onp.asarray(z, onp.float32))]
        rows.append(onp.concatenate(means))
    grid = onp.nan_to_num(plots.tile(onp.concatenate(rows), (28, 28), 16))

    def panel(axes):
        axes.imshow(grid, cmap="gray", vmin=0, vmax=1)
        axes.set_yticks(28 * onp.arange(len(rows)) + 14, ["test images", *kept], fontsize=9)
        axes.set_xticks([112, 336], ["decoded at z ~ q(z|x)", "decoded at z ~ N(0, I)"])
        axes.axvline(223.5, color="tab:red", lw=1)
        axes.tick_params(length=0)
        axes.set_anchor("E")  # the names need what room the squares leave

    plots.save(panel, path, (9, 7.4))


def parser():
    p = common.options(__doc__, "mistakes")
    p.add_argument("--epochs", type=common.positive, default=1, help="over the 60,000 images, 600 steps each")
    p.add_argument("--seeds", type=common.positive, default=3, help="how many, from --seed on")
    return p


if __name__ == "__main__":
    common.run(main, parser())
