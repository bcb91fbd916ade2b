"""The exercises solved. Look when you have tried: `exercises.py` asks, `check.py` judges and never reads this file."""

import numpy as np


def dense(x, W, b):
    return x @ W + b


def dense_backward(g, x, W):
    rows_x, rows_g = x.reshape(-1, len(W)), g.reshape(-1, len(W.T))  # the data of all batches and samples
    return g @ W.T, rows_x.T @ rows_g, rows_g.sum(axis=0)


def bernoulli_nll(x, logits):
    # log σ(l) = l − log(1 + e^l) and log(1 − σ(l)) = −log(1 + e^l): x multiplies nothing but l.
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)


def bernoulli_nll_gradient(x, logits):
    return np.exp(-np.logaddexp(0, -logits)) - x


def gaussian_kl(mu, log_var):
    # E_q[log q] = −½ Σ {log 2π + log σ² + 1} and E_q[log p] = −½ Σ {log 2π + μ² + σ²}.
    return -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=-1)


def gaussian_kl_gradient(mu, log_var):
    return mu, 0.5 * (np.exp(log_var) - 1)


def location_scale(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps


def location_scale_backward(g, log_var, eps):
    # ∂z/∂μ = 1 and ∂z/∂(log σ²) = ½ σ ε.
    return np.sum(g, axis=0), 0.5 * np.exp(0.5 * log_var) * np.sum(g * eps, axis=0)


def gaussian_log_ratio(mu, log_var, z):
    return 0.5 * np.sum(z**2 - log_var - (z - mu) ** 2 / np.exp(log_var), axis=-1)


def elbo(params, x, eps):
    hidden, _, (mean, log_variance) = params["phi"]
    h = np.maximum(dense(x, **hidden), 0)
    mu, log_var = dense(h, **mean), dense(h, **log_variance)
    z = location_scale(mu, log_var, eps)
    hidden, _, last = params["theta"]
    logits = dense(np.maximum(dense(z, **hidden), 0), **last)
    return -bernoulli_nll(x, logits) - gaussian_kl(mu, log_var)


def iwae(log_w):
    m = np.max(log_w, axis=0)  # the largest weight becomes 1, and the others can only vanish beside it
    return m + np.log(np.mean(np.exp(log_w - m), axis=0))


def rmsprop_step(theta, g, v, eta, rho, epsilon):
    v = rho * v + (1 - rho) * g**2
    return theta - eta * g / (np.sqrt(v) + epsilon), v


def adam_step(theta, g, m, v, t, eta, beta1, beta2, epsilon):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return theta - eta * m_hat / (np.sqrt(v_hat) + epsilon), m, v


def planar(z, u, w, b):
    a = w @ u
    u = u + (np.logaddexp(0, a) - 1 - a) * w / (w @ w)
    t = np.tanh(z @ w + b)
    return z + t[..., None] * u, np.log(1 + (w @ u) * (1 - t**2))


def gumbel_softmax(logits, u, tau):
    a = (logits - np.log(-np.log(u))) / tau
    y = np.exp(a - np.max(a, axis=-1, keepdims=True))
    return y / np.sum(y, axis=-1, keepdims=True)
