"""Carry a trained model to Keras 3: the same negative ELBO on the same images and noise.

The arrays of checkpoint.npz are read by their names alone, `params.phi.0.W` of shape (n_in, n_out), Keras' own layout.
Run demos/mnist.py first: python demos/to_keras.py results/mnist/checkpoint.npz
"""

from support import common

import os

import numpy as np
from to_torch import layers, run


def keras_model(path):
    """The encoder, x to (μ, log σ²), and the decoder, z to logits, as Keras models with the checkpoint's weights."""
    from keras import Input, Model
    from keras.layers import Dense

    def network(n_in, hidden, outputs):
        x = h = Input((n_in,))
        for W, _ in hidden:
            h = Dense(W.shape[1], activation="relu")(h)
        last = [Dense(W.shape[1])(h) for W, _ in outputs]
        model = Model(x, last if len(last) > 1 else last[0])
        model.set_weights([array for pair in (*hidden, *outputs) for array in pair])
        return model

    with np.load(path, allow_pickle=False) as arrays:
        phi, theta = layers(arrays, "phi"), layers(arrays, "theta")
    return network(len(phi[0][0]), phi[:-2], phi[-2:]), network(len(theta[0][0]), theta[:-1], theta[-1:])


def nelbo(model, x, eps):
    """−ELBO of each image in nats, in Keras' own functions. x: (n, D). eps: (n, d)."""
    from keras import ops

    encoder, decoder = model
    mu, log_var = encoder(x)
    logits = decoder(mu + ops.exp(0.5 * log_var) * eps)
    nll = ops.sum(ops.binary_crossentropy(x, logits, from_logits=True), axis=-1)
    kl = -0.5 * ops.sum(1 + log_var - mu**2 - ops.exp(log_var), axis=-1)
    return ops.convert_to_numpy(nll + kl)


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    run(common.Parser(__doc__), "keras", keras_model, nelbo)
