"""Fifteen exercises: the mathematics of a variational autoencoder, one function each, in plain NumPy.

Put your lines in the place of `raise NotImplementedError`, in any order, and ask the judge as often as you like:

    python demos/lesson/check.py

The house rules hold here too: losses sum over the last axis and keep the others, one number for each datum, in nats;
samples lead, so that `(k, n, d)` is k samples for each of n data; logits and log-variances go in, never probabilities
or standard deviations; no `clip`, no stray 1e-8; arguments stay as they are. `(..., d)` means any number of axes
before the last, none included. One exercise may call another. "The post" is `Implementing Variational Autoencoders in
Keras: Beyond the Quickstart Tutorial`. Solutions stand in `solutions.py`: look when you have tried.
"""

import numpy as np  # noqa: F401 (you will need it)


def dense(x, W, b):
    """h = x W + b: a fully-connected layer, h_j = Σ_i x_i W_ij + b_j.

    x: (..., n_in). W: (n_in, n_out). b: (n_out,). Returns h (..., n_out).
    Hint: `@` treats all axes but the last two as a batch, and works for a single x (n_in,) too.
    The post, "Decoder", writes W x + b for a column x; with data in rows it reads x W + b.
    """
    raise NotImplementedError


def dense_backward(g, x, W):
    """∂loss/∂x, ∂loss/∂W, ∂loss/∂b of h = x W + b, where g = ∂loss/∂h: the chain rule through one layer.

    g: (..., n_out). x: (..., n_in). W: (n_in, n_out). Returns dx (..., n_in), dW (n_in, n_out), db (n_out,).
    Hint: write ∂h_j/∂x_i, ∂h_j/∂W_ij and ∂h_j/∂b_j; every datum and every sample used the same W and b, so their
    contributions add up: make rows of all of them first. Goodfellow, Bengio & Courville (2016), section 6.5.
    """
    raise NotImplementedError


def bernoulli_nll(x, logits):
    """−log Bern(x | σ(l)) = −Σ_j {x_j log σ(l_j) + (1 − x_j) log(1 − σ(l_j))}, σ(l) = 1/(1 + e^−l), in nats.

    x: (..., d), in [0, 1]. logits: (..., d), or (k, ..., d). Returns (...,), exact also at logits of ±1000.
    Hint: put σ in, and what is left is log(1 + e^l) and x l; `np.logaddexp` knows the first without overflow.
    The post, "Decoder" (its `nll`); Kingma & Welling (2014), appendix C.1.
    """
    raise NotImplementedError


def bernoulli_nll_gradient(x, logits):
    """∂/∂l_j of `bernoulli_nll`: how far the predicted probability is from the pixel.

    x: (..., d). logits: (..., d), or (k, ..., d). Returns the logits' shape, finite also at ±1000.
    Hint: the derivative of log(1 + e^l) is σ(l), and σ(l) = e^{−log(1 + e^−l)}. The post, "Decoder".
    """
    raise NotImplementedError


def gaussian_kl(mu, log_var):
    """KL[N(μ, diag σ²) ‖ N(0, I)] = E_q[log q(z) − log p(z)], in closed form, in nats.

    mu, log_var: (..., d), log_var = log σ². Returns (...,), never negative, and 0 at μ = 0, σ = 1.
    Hint: under q, E[(z − μ)²] = σ² and E[z²] = μ² + σ². The post, "KL Divergence", states the result and recommends
    the derivation as an exercise: this one. Kingma & Welling (2014), appendix B.
    """
    raise NotImplementedError


def gaussian_kl_gradient(mu, log_var):
    """∂KL/∂μ_k and ∂KL/∂(log σ_k²) of `gaussian_kl`: the pull of the prior.

    mu, log_var: (..., d). Returns dmu (..., d), dlog_var (..., d).
    Hint: the second is with respect to log σ², not to σ, and σ² = e^{log σ²}. Where are both zero?
    The post, "KL Divergence".
    """
    raise NotImplementedError


def location_scale(mu, log_var, eps):
    """z = μ + σ ⊙ ε: z ~ N(μ, diag σ²) as a function of ε ~ N(0, I), so that μ and σ can be differentiated.

    mu, log_var: (..., d), log_var = log σ². eps: (..., d), or (k, ..., d) for k samples. Returns z of eps' shape.
    Hint: which power of e gives σ from log σ²? The post, "Reparameterization using Merge Layers"; Kingma & Welling
    (2014), section 2.4.
    """
    raise NotImplementedError


def location_scale_backward(g, log_var, eps):
    """∂loss/∂μ and ∂loss/∂(log σ²) of z = μ + σ ⊙ ε, where g = ∂loss/∂z: the reparameterization gradient.

    g, eps: (k, n, d). log_var: (n, d). Returns dmu (n, d), dlog_var (n, d).
    Hint: ε is a constant; all k samples share one μ and one σ; and ∂σ/∂(log σ²) is not σ.
    The post, "Reparameterization using Merge Layers" (gradient and expectation commute); Rezende et al. (2014).
    """
    raise NotImplementedError


def gaussian_log_ratio(mu, log_var, z):
    """log q(z) − log p(z) = log N(z | μ, diag σ²) − log N(z | 0, I), at the sample z, in nats.

    mu, log_var: (..., d). z: (..., d), or (k, ..., d). Returns one number for each z: its shape without the last axis.
    Hint: both densities have −½ log 2π for each dimension; only q has −½ log σ². Its mean over z ~ q is `gaussian_kl`.
    The post, "Inference" (the first form of the ELBO); Burda, Grosse & Salakhutdinov (2016), eq. 8.
    """
    raise NotImplementedError


def elbo(params, x, eps):
    """ELBO = log p_θ(x|z) − KL[q_φ(z|x) ‖ p(z)], z = μ_φ(x) + σ_φ(x) ⊙ ε, of the post's VAE, in nats.

    Encoder: h = relu(dense(x)), then μ and log σ² = two dense layers of h. Decoder: logits = dense(relu(dense(z))).
    params: {"phi": [layer, (), [layer of μ, layer of log σ²]], "theta": [layer, (), layer]}, each layer a dict
    {"W": ..., "b": ...}, () for the relu, which has none: the nest that `vae_np` makes for this model.
    x: (n, D), in [0, 1]. eps: (n, d), or (k, n, d). Returns (n,), or (k, n).
    Hint: it is four of your functions and `np.maximum`. A dict goes into a call as `dense(x, **layer)`.
    The post, "Inference" (the second form) and "Putting it all together"; Kingma & Welling (2014), eq. 10.
    """
    raise NotImplementedError


def iwae(log_w):
    """L_k = log{1/k Σ_i w_i}, the importance-weighted bound, from log w_i = log p(x, z_i) − log q(z_i|x), in nats.

    log_w: (k, ...), samples leading. Returns (...,): exact also where log w is −2000, or weights differ by e^1000.
    Hint: for any m, log Σ e^a = m + log Σ e^{a − m}; which m cannot overflow, and never leaves a sum of zeros?
    The post names it in its introduction and in "Monte Carlo sample size"; Burda et al. (2016), eq. 8.
    """
    raise NotImplementedError


def rmsprop_step(theta, g, v, eta, rho, epsilon):
    """v ← ρ v + (1 − ρ) g²,   θ ← θ − η g / (√v + ε): the optimizer of the post, in Keras' variant.

    theta, g, v: arrays of one shape, g = ∂loss/∂θ. eta, rho, epsilon: numbers. Returns the new theta, the new v.
    Hint: the new v, not the old one, divides; ε stands outside the root; arguments stay as they are: no `v *= rho`.
    The post, "Putting it all together" (`optimizer='rmsprop'`); Tieleman & Hinton (2012), lecture 6.5.
    """
    raise NotImplementedError


def adam_step(theta, g, m, v, t, eta, beta1, beta2, epsilon):
    """m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   θ ← θ − η m̂ / (√v̂ + ε).

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ), since both began at zero. t: the number of this step, 1 for the first.
    theta, g, m, v: arrays of one shape. Returns the new theta, m and v (these two without the correction).
    Hint: with one gradient only, t = 1, m̂ must be g itself. Kingma & Ba (2015), algorithm 1.
    """
    raise NotImplementedError


def planar(z, u, w, b):
    """f(z) = z + û tanh(w'z + b) and log|det ∂f/∂z| = log|1 + w'û (1 − tanh²(w'z + b))|, in nats.

    û = u + {m(w'u) − w'u} w/‖w‖², m(a) = −1 + log(1 + e^a): then w'û = m(w'u) > −1, and f is invertible.
    z: (..., d). u, w: (d,). b: a number. Returns f (..., d), log_det (...,); w'u may be ±1000.
    Hint: the determinant of I + a b' is 1 + a'b, and d tanh(s)/ds = 1 − tanh² s. After û is made, u is not used again.
    The post names normalizing flows in its introduction; Rezende & Mohamed (2015), eqs. 10–12, appendix A.1.
    """
    raise NotImplementedError


def gumbel_softmax(logits, u, tau):
    """y = softmax((log π + G) / τ), G = −log(−log u): a soft, differentiable draw from Cat(π), π = softmax(logits).

    logits: (..., K). u: (..., K), or (k, ..., K), uniform on (0, 1). tau: a number > 0. Returns y of u's shape, which
    sums to 1 over the last axis, also where a logit is ±1000.
    Hint: a constant added to all K entries leaves a softmax as it is, so log π may be the logits; subtract the largest
    entry before you take e to it. The post, topic "Gumbel-softmax trick"; Jang, Gu & Poole (2017), eqs. 1 and 2.
    """
    raise NotImplementedError
