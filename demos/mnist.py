"""The post's experiment: a variational autoencoder with a two-dimensional latent space, trained on MNIST.

    x → 784-256-(2, 2) → z = μ + σ ⊙ ε → 2-256-784 → p(x|z),    −ELBO = −log p(x|z) + KL[q(z|x) ‖ p(z)]

relu, RMSprop 1e-3, batches of 100, one sample, gray pixels under a Bernoulli. After 50 epochs the negative ELBO of the
test set was 151.05 and 151.35 nats in the author's two runs. Kingma & Welling (2014), sections 2.3, 3 and appendix C.
"""

from support import common, data, figures
from support.run import command

import autograd.numpy as np

from vae_np import (
    adam,
    bernoulli_likelihood,
    dense,
    dynamic,
    evaluate,
    gaussian_noise,
    gaussian_posterior,
    gray,
    heads,
    minibatches,
    relu,
    rmsprop,
    sequential,
    threshold,
    train,
    vae,
)

POST = {"epochs": 50, "latent_dim": 2, "hidden": [256], "batch_size": 100, "samples": 1, "optimizer": "rmsprop",
        "learning_rate": 1e-3, "binarize": "none", "seed": 0}  # each an option of the command line
PIXELS = {
    "none": (lambda rng: gray, "gray pixels: a mean over binary images drawn with them as probabilities, not to be "
                               "compared with figures for binary images"),
    "dynamic": (dynamic, "pixels drawn with the gray values as probabilities, anew each time"),
    "threshold": (lambda rng: threshold, "pixels cut at one half"),
}


def build(n_pixels, hidden, d):
    """Encoder, decoder, posterior, likelihood and model. build(784, [256], 2) is the post's:

        encoder = sequential(dense(784, 256), relu, heads(dense(256, 2), dense(256, 2)))    # mu, log_var
        decoder = sequential(dense(2, 256), relu, dense(256, 784))                          # logits
    """
    def layers(*widths):
        return [block for n_in, n_out in zip(widths, widths[1:]) for block in (dense(n_in, n_out), relu)]

    encoder = sequential(*layers(n_pixels, *hidden), heads(dense(hidden[-1], d), dense(hidden[-1], d)))
    decoder = sequential(*layers(d, *hidden[::-1]), dense(hidden[0], n_pixels))
    posterior, likelihood = gaussian_posterior(encoder), bernoulli_likelihood(decoder)
    return encoder, decoder, posterior, likelihood, vae(posterior, likelihood)


def main(run):
    options = run.options
    x_train, _, x_test, y_test = data.load(run.data)
    shape = figures.image_shape(x_train)
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))  # still bytes

    # Each source of chance is a stream of its own: how often one tests cannot change what is learned.
    init_rng, data_rng, noise_rng, test_rng = common.streams(options.seed)

    parts = build(x_train.shape[1], options.hidden, options.latent_dim)
    _, _, posterior, likelihood, model = parts
    params = model.init(init_rng)
    optimizer = {"rmsprop": rmsprop, "adam": adam}[options.optimizer](options.learning_rate)

    # One sample of z an image is enough: a batch of 100 averages over as many. More are a leading axis of ε, (k, n, d).
    k = None if options.samples == 1 else options.samples
    noise, test_noise = (gaussian_noise(rng, options.latent_dim, k) for rng in (noise_rng, test_rng))
    pixels, which = PIXELS[options.binarize]

    def terms(params, x, eps):
        z, kl = posterior.apply(params["phi"], x, eps)
        nll = likelihood.apply(params["theta"], x, z)
        return nll, kl

    def loss(params, x, eps):
        nll, kl = terms(params, x, eps)
        return np.mean(nll + kl), (nll, kl)

    run.begin((x_train, x_test), params, optimizer, streams=[data_rng, noise_rng, test_rng],
              frame=lambda theta: figures.frame(likelihood, theta, shape))
    print(model)
    for epoch in run.epochs():
        batches = minibatches(data_rng, x_train, options.batch_size, pixels=pixels(data_rng))
        for state in train(loss, params, batches, noise, optimizer, resume=run.state):
            run.step(state)

        # z ~ q(z|x) in testing too: at z = μ the post's model would look 0.8 nats better, and nothing be bounded.
        batches = minibatches(None, x_test, 1000, pixels=pixels(test_rng))
        nll, kl = evaluate(terms, state.params, batches, test_noise)
        run.save(epoch, nll, kl)

    del x_train  # 47 MB, which drawing needs
    figures.draw(run, parts, x_test, y_test, shape)
    *_, nll, kl = run.history[-1]
    print(f"{len(x_test):,} test images, {which}\n"
          f"-log p(x) <= {nll + kl:.2f} nats = {nll:.2f} + {kl:.2f}; figures in {options.out}")


if __name__ == "__main__":
    command(main, POST)
