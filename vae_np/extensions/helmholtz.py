"""The Helmholtz machine: the network of `sbn.py`, trained by wake and sleep. Amortized inference
comes from here.

Awake, the recognition net q_φ explains a datum and the generative net p_θ learns to make that
explanation likely. Asleep, p_θ dreams up x and its cause h, and q_φ learns to recognise them. All
draws are constants, so each phase is a plain log-density with a plain gradient: no relaxation, no
score function.

The price: sleep minimises KL[p ‖ q] over dreams, where the bound asks for KL[q ‖ p] over data. θ
follows the bound's own gradient, φ does not, and no single function goes down. Where q_φ is p_θ's
posterior and p_θ is the data's law, both gradients vanish in the mean: a fixed point.

This room imports another, `sbn.py`: it is the same network, and only the training differs.
Hinton, Dayan, Frey & Neal (1995); Dayan, Hinton, Neal & Zemel (1995).
"""

from vae_np.extensions.sbn import generate, infer, log_joint, log_q


def wake(params, x, u):
    """−log p_θ(x, h), h ~ q_φ(h|x): the gradient in θ is the bound's, that in φ is zero.

    params: those of an `sbn`. x: (n, D). u: (..., n, d₁ + … + d_L), uniform. Returns (..., n) in
    nats.
    """
    return -log_joint(params["theta"], x, infer(params["phi"], x, u))


def sleep(params, u):
    """−log q_φ(h|x), (x, h) ~ p_θ(x, h): the gradient in θ is zero.

    u: (..., m, D + d₁ + … + d_L), uniform, for m dreams. Returns (..., m) in nats.
    """
    x, h = generate(params["theta"], u)
    return -log_q(params["phi"], x, h)


def wake_sleep(params, x, noise):
    """wake(x) + sleep: one step for both, θ by the first term and φ by the second. Returns (..., n)
    in nats.

    noise: the pair of uniform arrays for wake and for sleep, one dream a datum. Both phases see the
    same parameters. The value is no bound and need not go down.
    """
    u, v = noise
    return wake(params, x, u) + sleep(params, v)
