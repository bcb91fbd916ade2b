"""Implicit posteriors: with the exact log-ratio for a critic they are Gaussian ones, and training finds that ratio."""

import autograd.numpy as np
import numpy as onp
import pytest
from checkers import assert_gradient, assert_mean
from scipy import integrate, stats

from vae_np import (
    Block,
    adam,
    astype,
    bernoulli_likelihood,
    dense,
    gaussian_kl,
    gaussian_log_ratio,
    gaussian_posterior,
    heads,
    location_scale,
    minibatches,
    rmsprop,
    sequential,
    tanh,
    vae,
    value_and_grad,
)
from vae_np.extensions.adversarial import alternate, critic_loss, implicit_likelihood, implicit_posterior, moments
from vae_np.extensions.pairs import critic, joined
from vae_np.nests import leaves

N, D, E, L = 5, 4, 3, 2  # data, pixels, noise and latents a datum


def block(apply, init=lambda rng: (), name="block"):
    return Block(init, apply, name)


def gaussian_sampler(encoder):
    return block(lambda phi, x, eps: location_scale(*encoder.apply(phi, x), eps), encoder.init, "gaussian_sampler")


def exact(encoder):
    """T_ψ := log q_ψ(z|x) − log p(z), where ψ are the encoder's own parameters."""
    return block(lambda psi, x, z: gaussian_log_ratio(*encoder.apply(psi, x), z), encoder.init, "exact")


@pytest.fixture
def encoder():
    return sequential(dense(D, 4), tanh, heads(dense(4, L), dense(4, L)))


@pytest.fixture
def networks():
    sampler = joined(sequential(dense(6 + E, 7), tanh, dense(7, L)), sequential(dense(D, 6), tanh))
    return sampler, critic(sequential(dense(D + L, 8), tanh, dense(8, 1))), bernoulli_likelihood(dense(L, D))


@pytest.fixture
def x(rng):
    return rng.random((N, D))


# The objective ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("samples", [(), (3,)], ids=["one sample", "k = 3"])
def test_a_critic_that_is_the_exact_log_ratio_gives_the_gaussian_objective_bit_for_bit(encoder, samples, rng, x):
    likelihood, eps = bernoulli_likelihood(dense(L, D)), rng.standard_normal((*samples, N, L))
    gaussian = vae(gaussian_posterior(encoder, kl=gaussian_log_ratio), likelihood)
    params = gaussian.init(rng)
    model = vae(implicit_posterior(gaussian_sampler(encoder), exact(encoder), params["phi"]), likelihood)
    difference = model.apply(params, x, eps) - gaussian.apply(params, x, eps)
    assert difference.shape == (*samples, N) and not difference.any()


ROWS = 20_000
MU, LOG_VAR = onp.array([0.7, -1.2]), onp.array([-0.8, 0.5])
rows = block(lambda phi, x: (phi["mu"], phi["log_var"]))  # one q a row, so that a gradient comes sample by sample


def each(f, phi, *args):
    return value_and_grad(lambda phi: np.sum(f(phi, *args)))(phi)[1]


def same_q_in_every_row():
    return {"mu": onp.tile(MU, (ROWS, 1)), "log_var": onp.tile(LOG_VAR, (ROWS, 1))}


def test_the_gradient_runs_through_z_alone_and_has_the_closed_form_kls_mean(rng):
    phi, eps = same_q_in_every_row(), rng.standard_normal((ROWS, L))
    posterior = implicit_posterior(gaussian_sampler(rows), exact(rows), phi)
    found = each(lambda phi: posterior.apply(phi, None, eps)[1], phi)
    z = MU + onp.exp(LOG_VAR / 2) * eps
    slope = z - (z - MU) / onp.exp(LOG_VAR)                                     # ∂{log q(z) − log p(z)}/∂z
    onp.testing.assert_allclose(found["mu"], slope, rtol=1e-12, atol=1e-12)
    onp.testing.assert_allclose(found["log_var"], slope * (z - MU) / 2, rtol=1e-12, atol=1e-12)
    assert_mean(found["mu"], MU)
    assert_mean(found["log_var"], (onp.exp(LOG_VAR) - 1) / 2)


def test_proposition_2_the_expected_gradient_of_the_optimal_critic_to_phi_at_fixed_z_is_zero(rng):
    phi = same_q_in_every_row()
    z = MU + onp.exp(LOG_VAR / 2) * rng.standard_normal((ROWS, L))
    score = each(lambda phi: exact(rows).apply(phi, None, z), phi)
    assert score["mu"].std() > 0.5
    assert_mean(score["mu"], 0)
    assert_mean(score["log_var"], 0)


def test_where_q_is_the_prior_every_sample_has_gradient_zero(rng):
    phi = {"mu": onp.zeros((9, L)), "log_var": onp.zeros((9, L))}
    posterior = implicit_posterior(gaussian_sampler(rows), exact(rows), phi)
    gradient = each(lambda phi: posterior.apply(phi, None, rng.standard_normal((9, L)))[1], phi)
    assert not gradient["mu"].any() and not gradient["log_var"].any()


# What is constant in which step -----------------------------------------------------------------------------------

def contrasts(sampler, rng):
    """Pairs of contrast and log r − log p."""
    return [(None, None), (moments(sampler, rng.standard_normal((7, E))), gaussian_log_ratio)]


def test_psi_is_constant_in_the_models_step(networks, rng, x):
    sampler, T, likelihood = networks
    both = {"phi": sampler.init(rng), "theta": likelihood.init(rng), "psi": T.init(rng)}
    eps = rng.standard_normal((N, E))
    for contrast in contrasts(sampler, rng):
        def loss(p, contrast=contrast):
            return np.mean(vae(implicit_posterior(sampler, T, p["psi"], *contrast), likelihood).apply(p, x, eps))

        gradient = value_and_grad(loss)(both)[1]
        assert not any(g.any() for g in leaves(gradient["psi"]))
        assert all(g.any() for g in leaves([gradient["phi"], gradient["theta"]]))


def test_phi_is_constant_in_the_critics_step(networks, rng, x):
    sampler, T, _ = networks
    both = {"phi": sampler.init(rng), "psi": T.init(rng)}
    eps, prior = rng.standard_normal((N, E)), rng.standard_normal((N, L))
    for contrast, _ in contrasts(sampler, rng):
        def loss(p, contrast=contrast):
            return np.mean(critic_loss(sampler, T, contrast)(p["psi"], p["phi"], x, eps, prior))

        gradient = value_and_grad(loss)(both)[1]
        assert not any(g.any() for g in leaves(gradient["phi"]))
        assert all(g.any() for g in leaves(gradient["psi"]))


def test_the_moments_are_constants_of_the_models_step_too(networks, rng, x):
    sampler, T, _ = networks
    phi, psi, eps = sampler.init(rng), T.init(rng), rng.standard_normal((N, E))
    contrast = moments(sampler, rng.standard_normal((7, E)))
    fixed = contrast(phi, x)
    ours, plain = (each(lambda phi, c=c: implicit_posterior(sampler, T, psi, c, gaussian_log_ratio).apply(
        phi, x, eps)[1], phi) for c in (contrast, lambda phi, x: fixed))
    for a, b in zip(leaves(ours), leaves(plain)):
        onp.testing.assert_array_equal(a, b)


# The critic at its optimum, by quadrature -------------------------------------------------------------------------
# The trapezoid rule on ε is exact to rounding for analytic integrands that have died out at the ends.

GRID = onp.linspace(-14, 14, 2801)[:, None]
WEIGHTS = stats.norm.pdf(GRID[:, 0]) * (GRID[1] - GRID[0])
M, S = 0.8, 0.6                                                                 # q = N(0.8, 0.6²)
scalar_q = block(lambda phi, x, eps: phi[0] + np.exp(phi[1]) * eps, name="scalar_q")
quadratic = block(lambda psi, x, z: psi[0] + psi[1] * z[..., 0] + psi[2] * z[..., 0] ** 2, name="quadratic")


def log_ratio(m, s, m0=0.0, s0=1.0):
    """Coefficients (1, z, z²) of log N(z | m, s²) − log N(z | m0, s0²)."""
    return onp.array([onp.log(s0 / s) - m ** 2 / (2 * s ** 2) + m0 ** 2 / (2 * s0 ** 2),
                      m / s ** 2 - m0 / s0 ** 2, 1 / (2 * s0 ** 2) - 1 / (2 * s ** 2)])


def expected_critic_loss(psi, contrast=None):
    phi = onp.array([M, onp.log(S)])
    loss = critic_loss(scalar_q, quadratic, contrast)(psi, phi, onp.zeros((len(GRID), 1)), GRID, GRID)
    return np.sum(WEIGHTS * loss)


def test_the_critics_loss_is_stationary_at_the_log_ratio_and_equals_2_log_2_less_2_jensen_shannon():
    psi = log_ratio(M, S)
    value, gradient = value_and_grad(expected_critic_loss)(psi)
    onp.testing.assert_allclose(gradient, 0, atol=1e-12)
    q, p = stats.norm(M, S), stats.norm()

    def half(a, b):  # the integrand of KL[a ‖ ½(a + b)]
        return lambda z: a.pdf(z) * onp.log(2 * a.pdf(z) / (a.pdf(z) + b.pdf(z)))

    js = sum(integrate.quad(f, -8, 8, epsabs=1e-12)[0] for f in (half(q, p), half(p, q))) / 2
    assert value == pytest.approx(2 * onp.log(2) - 2 * js, abs=1e-10)
    for direction in onp.vstack([onp.eye(3), -onp.eye(3)]):
        assert expected_critic_loss(psi + 0.1 * direction) > value + 1e-4      # a minimum


def test_with_adaptive_contrast_the_critics_optimum_is_the_log_ratio_to_r():
    m, s = 0.5, 0.9                                                             # r = N(0.5, 0.9²), not q's own moments
    contrast = lambda phi, x: (onp.full((len(x), 1), m), onp.full((len(x), 1), 2 * onp.log(s)))
    psi = log_ratio((M - m) / s, S / s)                                         # log q̃(z̃) − log N(z̃ | 0, 1)
    _, gradient = value_and_grad(lambda psi: expected_critic_loss(psi, contrast))(psi)
    onp.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_a_quadratic_critic_trained_by_newton_recovers_the_closed_form_kl(rng):
    """For Gaussians the log-ratio is quadratic in z: the classifier can be exact, and only its sample is finite."""
    n, truth = 4_000, gaussian_kl(onp.array([M]), onp.array([2 * onp.log(S)]))
    phi, x, estimates = onp.array([M, onp.log(S)]), onp.zeros((n, 1)), []
    differentiate = value_and_grad(lambda psi, *draws: np.mean(critic_loss(scalar_q, quadratic)(psi, phi, x, *draws)))
    for _ in range(30):
        eps, prior = rng.standard_normal((2, n, 1))
        psi = onp.zeros(3)
        for _ in range(12):
            slopes = [differentiate(psi + h, eps, prior)[1] for h in (*1e-4 * onp.eye(3), *-1e-4 * onp.eye(3))]
            hessian = (onp.array(slopes[:3]) - slopes[3:]) / 2e-4
            psi = psi - onp.linalg.solve(hessian, differentiate(psi, eps, prior)[1])
        onp.testing.assert_allclose(differentiate(psi, eps, prior)[1], 0, atol=1e-8)
        estimates.append(onp.mean(implicit_posterior(scalar_q, quadratic, psi).apply(phi, x, eps)[1]))
    assert_mean(estimates, truth)
    assert onp.std(estimates) < 0.1 * truth                                     # sharp enough to notice a wrong formula


# Adaptive contrast ------------------------------------------------------------------------------------------------

def test_with_the_exact_critic_adaptive_contrast_adds_up_to_log_q_over_p_for_a_q_that_is_not_gaussian(rng):
    """z = a sinh ε: log q(z) = log N(asinh(z/a)) − log √(a² + z²), whatever Gaussian r is put between."""
    a, mu, log_var = 0.7, rng.standard_normal((N, L)), rng.standard_normal((N, L))
    sampler = block(lambda phi, x, eps: a * np.sinh(eps))

    def log_q(z):
        return onp.sum(stats.norm.logpdf(onp.arcsinh(z / a)) - onp.log(onp.hypot(a, z)), axis=-1)

    def log_q_over_r(psi, x, z):                                                # at the standardized z
        return log_q(mu + onp.exp(log_var / 2) * z) - onp.sum(stats.norm.logpdf(z) - log_var / 2, axis=-1)

    eps = rng.standard_normal((3, N, L))
    z, kl = implicit_posterior(sampler, block(log_q_over_r), (), lambda *_: (mu, log_var),
                               gaussian_log_ratio).apply((), None, eps)
    truth = log_q(z) - stats.norm.logpdf(z).sum(axis=-1)
    onp.testing.assert_allclose(kl, truth, rtol=1e-12, atol=1e-12)


def test_with_qs_own_moments_nothing_is_left_for_the_critic_of_a_gaussian_q(rng, encoder, x):
    phi, eps = encoder.init(rng), rng.standard_normal((N, L))
    nothing = block(lambda psi, x, z: np.zeros(z.shape[:-1]))
    posterior = implicit_posterior(gaussian_sampler(encoder), nothing, (), encoder.apply, gaussian_log_ratio)
    onp.testing.assert_array_equal(posterior.apply(phi, x, eps)[1],
                                   gaussian_posterior(encoder, kl=gaussian_log_ratio).apply(phi, x, eps)[1])


def test_moments_are_the_mean_and_the_unbiased_variance_of_q(rng, networks, x):
    sampler = networks[0]
    phi, eps = astype(sampler.init(rng), onp.float64), rng.standard_normal((7, E))
    mu, log_var = moments(sampler, eps)(phi, x)
    for i in range(N):
        z = sampler.apply(phi, onp.tile(x[i], (7, 1)), eps)
        onp.testing.assert_allclose(mu[i], z.mean(axis=0), rtol=1e-12)
        onp.testing.assert_allclose(log_var[i], onp.log(onp.cov(z.T).diagonal()), rtol=1e-10, atol=1e-12)


# Implicit priors and likelihoods ----------------------------------------------------------------------------------
# z ~ N(m₀, s₀²), x|z ~ N(a z, b²), data ~ N(c, v²), q(z|x) = N(g x + h, t²): every density is known here.

M0, S0, A_, B_, C_, V = 0.4, 1.3, 0.8, 0.5, -0.3, 0.9
G, H, T_ = 0.7, 0.2, 0.6
linear_q = block(lambda phi, x, eps: phi[0] * x + phi[1] + np.exp(phi[2]) * eps, name="linear_q")
LINEAR = onp.array([G, H, onp.log(T_)])


def normal(z, mu, sigma):
    return -0.5 * np.log(2 * np.pi) - np.log(sigma) - (z - mu) ** 2 / (2 * sigma ** 2)


def log_of_joints(x, z):
    """log q(x) + log q(z|x) − log p(z) − log p(x|z), from x and z of shape (...,)."""
    return normal(x, C_, V) + normal(z, G * x + H, T_) - normal(z, M0, S0) - normal(x, A_ * z, B_)


exact_joint = block(lambda psi, x, z: log_of_joints(x[..., 0], z[..., 0]), name="exact_joint")
likelihood_of_x = block(lambda theta, x, z: -normal(x, A_ * z, B_)[..., 0], name="likelihood_of_x")


def kl_of_joints():
    """KL of two Gaussians in the plane, from their means and covariances: no log-ratio is used."""
    q_mean, p_mean = onp.array([C_, G * C_ + H]), onp.array([A_ * M0, M0])
    q = onp.array([[V ** 2, G * V ** 2], [G * V ** 2, G ** 2 * V ** 2 + T_ ** 2]])
    p = onp.array([[A_ ** 2 * S0 ** 2 + B_ ** 2, A_ * S0 ** 2], [A_ * S0 ** 2, S0 ** 2]])
    d = p_mean - q_mean
    return 0.5 * (onp.trace(onp.linalg.solve(p, q)) + d @ onp.linalg.solve(p, d) - 2
                  + onp.linalg.slogdet(p)[1] - onp.linalg.slogdet(q)[1])


def test_with_the_exact_joint_ratio_the_objective_is_minus_elbo_plus_log_q_of_x_and_its_mean_the_joint_kl(rng):
    x, eps = C_ + V * rng.standard_normal((ROWS, 1)), rng.standard_normal((ROWS, 1))
    params = {"phi": LINEAR, "theta": ()}
    free = vae(implicit_posterior(linear_q, exact_joint, ()), implicit_likelihood).apply(params, x, eps)
    to_prior = block(lambda psi, x, z: (normal(z, G * x + H, T_) - normal(z, M0, S0))[..., 0])   # an implicit prior's T
    nelbo = vae(implicit_posterior(linear_q, to_prior, ()), likelihood_of_x).apply(params, x, eps)
    onp.testing.assert_allclose(free - stats.norm.logpdf(x[:, 0], C_, V), nelbo, rtol=1e-12, atol=1e-12)
    assert_mean(free, kl_of_joints())


def test_at_the_exact_posterior_the_joint_ratio_is_log_q_of_x_less_log_p_of_x_for_every_z(rng):
    """With data of the model's own law nothing is left, sample by sample: the least that the objective can be."""
    precision = 1 / S0 ** 2 + A_ ** 2 / B_ ** 2
    x, z = rng.standard_normal((2, 9))
    posterior = normal(z, (M0 / S0 ** 2 + A_ * x / B_ ** 2) / precision, precision ** -0.5)
    left = log_of_joints(x, z) - normal(z, G * x + H, T_) + posterior - normal(x, C_, V)
    evidence = stats.norm.logpdf(x, A_ * M0, onp.hypot(A_ * S0, B_))
    onp.testing.assert_allclose(left, -evidence, rtol=1e-12)


def test_the_gradient_with_the_exact_joint_ratio_is_that_of_the_elbo_on_average(rng):
    """−ELBO of q(z|x) in closed form, at x fixed, by differences in (g, h, log t)."""
    x, eps = onp.full((ROWS, 1), 0.6), rng.standard_normal((ROWS, 1))

    def closed(phi):
        mu, t = phi[0] * 0.6 + phi[1], onp.exp(phi[2])
        return (onp.log(S0 / t) + (t ** 2 + (mu - M0) ** 2) / (2 * S0 ** 2)
                + ((0.6 - A_ * mu) ** 2 + A_ ** 2 * t ** 2) / (2 * B_ ** 2))

    phi = onp.tile(LINEAR, (ROWS, 1))
    each_q = block(lambda phi, x, eps: phi[:, :1] * x + phi[:, 1:2] + np.exp(phi[:, 2:]) * eps)
    found = each(lambda p: vae(implicit_posterior(each_q, exact_joint, ()), implicit_likelihood).apply(
        {"phi": p, "theta": ()}, x, eps), phi)
    assert_mean(found, [(closed(LINEAR + h) - closed(LINEAR - h)) / 2e-6 for h in 1e-6 * onp.eye(3)])


PLANE = onp.stack(onp.meshgrid(GRID[::14, 0], GRID[::14, 0]), -1).reshape(-1, 2)           # spacing 0.14
AREA = stats.norm.pdf(PLANE).prod(axis=-1) * 0.14 ** 2
features = (lambda x, z: (np.ones_like(x), x, z, x * x, x * z, z * z))
quadratic_joint = block(lambda psi, x, z: sum(p * f for p, f in zip(psi, features(x[..., 0], z[..., 0]))))


def expected_joint_loss(psi):
    """Over both laws by the trapezoid rule on their two noises, each N(0, 1)."""
    first, second = PLANE[:, :1], PLANE[:, 1:]
    z = M0 + S0 * first
    loss = critic_loss(linear_q, quadratic_joint)(psi, LINEAR, C_ + V * first, second, (A_ * z + B_ * second, z))
    return np.sum(AREA * loss)


def test_the_joint_critics_loss_is_stationary_at_the_log_ratio_of_the_joints():
    x, z = onp.random.default_rng(1).standard_normal((2, 30))
    psi = onp.linalg.lstsq(onp.stack(features(x, z), -1), log_of_joints(x, z), rcond=None)[0]
    onp.testing.assert_allclose(onp.stack(features(x, z), -1) @ psi, log_of_joints(x, z), rtol=1e-9)
    value, gradient = value_and_grad(expected_joint_loss)(psi)
    onp.testing.assert_allclose(gradient, 0, atol=1e-9)
    for direction in onp.vstack([onp.eye(6), -onp.eye(6)]):
        assert expected_joint_loss(psi + 0.1 * direction) > value + 1e-4       # a minimum


def test_a_quadratic_joint_critic_trained_by_newton_recovers_the_kl_of_the_joints(rng):
    n, estimates = 4_000, []
    differentiate = value_and_grad(lambda psi, *draws: np.mean(critic_loss(linear_q, quadratic_joint)(
        psi, LINEAR, *draws)))
    for _ in range(30):
        e, u, first, second = rng.standard_normal((4, n, 1))
        x, prior = C_ + V * e, M0 + S0 * first
        simulated, psi = A_ * prior + B_ * second, onp.zeros(6)
        both = onp.vstack([onp.hstack([x, linear_q.apply(LINEAR, x, u)]), onp.hstack([simulated, prior])])
        f = onp.stack(features(*both.T), axis=-1)
        for _ in range(10):                                                     # Newton: the Hessian is ⟨σ(1 − σ) f fᵀ⟩
            p = 1 / (1 + onp.exp(-f @ psi))
            gradient = differentiate(psi, x, u, (simulated, prior))[1]
            psi = psi - onp.linalg.solve((f.T * (p * (1 - p))) @ f / n, gradient)
        onp.testing.assert_allclose(differentiate(psi, x, u, (simulated, prior))[1], 0, atol=1e-9)
        estimates.append(onp.mean(vae(implicit_posterior(linear_q, quadratic_joint, psi), implicit_likelihood).apply(
            {"phi": LINEAR, "theta": ()}, x, u)))
    assert_mean(estimates, kl_of_joints())
    assert onp.std(estimates) < 0.1 * kl_of_joints()


def test_alternate_hands_the_simulators_pairs_to_the_critic_and_leaves_the_likelihood_out(networks, rng, x):
    sampler, T, _ = networks
    params, psi = {"phi": sampler.init(rng), "theta": ()}, T.init(rng)
    eps, pair = rng.standard_normal((N, E)), (rng.random((N, D)), rng.standard_normal((N, L)))
    optimizers = adam(), adam()
    model, trained = next(alternate(sampler, T, implicit_likelihood, params, psi, [x], lambda n: eps, lambda n: pair,
                                    optimizers))
    value, g = value_and_grad(lambda psi: np.mean(critic_loss(sampler, T)(psi, params["phi"], x, eps, pair)))(psi)
    psi = optimizers[1].update(psi, g, optimizers[1].init(psi))[0]
    objective = np.mean(implicit_posterior(sampler, T, psi).apply(params["phi"], x, eps)[1])
    assert (trained.loss, model.loss) == (value, objective)
    for a, b in zip(leaves(trained.params), leaves(psi)):
        onp.testing.assert_array_equal(a, b)


def test_gradients_of_the_joint_critic(networks, rng, x):
    sampler, T, _ = networks
    psi, phi, eps = T.init(rng), astype(sampler.init(rng), onp.float64), rng.standard_normal((N, E))
    drawn = rng.random((N, D)), rng.standard_normal((N, L))
    assert_gradient(lambda psi: np.sum(critic_loss(sampler, T)(psi, phi, x, eps, drawn)), psi)
    model = vae(implicit_posterior(sampler, T, astype(psi, onp.float64)), implicit_likelihood)
    assert_gradient(lambda p: np.sum(model.apply(p, x, eps)), {"phi": phi, "theta": ()})


def test_an_implicit_prior_or_likelihood_cannot_be_misused(networks, rng, x):
    sampler, T, known = networks
    phi, psi, eps = sampler.init(rng), T.init(rng), rng.standard_normal((N, E))
    r = moments(sampler, rng.standard_normal((7, E)))
    with pytest.raises(ValueError, match="contrast alone; adaptive contrast takes contrast and log_ratio.*a prior or"):
        implicit_posterior(sampler, T, psi, r)
    with pytest.raises(ValueError, match="log_ratio alone; adaptive contrast takes"):
        implicit_posterior(sampler, T, psi, log_ratio=gaussian_log_ratio)
    x_, z_ = rng.random((N, D)), rng.standard_normal((N, L))
    with pytest.raises(ValueError, match=r"pairs \(x', z'\) with adaptive contrast"):
        critic_loss(sampler, T, r)(psi, phi, x, eps, (x_, z_))
    for pair in ((x_[:4], z_), (x_[:, :3], z_), (x_, z_[:, :1])):
        with pytest.raises(ValueError, match=r"critic_loss: z' has shape .* beside x'.*; z of q has \(5, 2\)"):
            critic_loss(sampler, T)(psi, phi, x, eps, pair)

    def begin(likelihood, reference, **options):
        params = {"phi": phi, "theta": likelihood.init(rng)}
        next(alternate(sampler, T, likelihood, params, psi, [x], lambda n: eps[:n], lambda n: reference,
                       (adam(0.01), adam(0.01)), **options))

    begin(known, z_)
    begin(implicit_likelihood, (x_, z_))
    with pytest.raises(ValueError, match="draws alone; adaptive contrast takes draws and log_ratio"):
        begin(known, z_, draws=5)
    with pytest.raises(ValueError, match=r"draws pairs \(x', z'\) for bernoulli_likelihood.*expected pairs for imp"):
        begin(known, (x_, z_))
    with pytest.raises(ValueError, match="draws z' alone for implicit_likelihood; expected pairs"):
        begin(implicit_likelihood, z_)


# Networks ---------------------------------------------------------------------------------------------------------

def test_joined_is_a_network_on_the_concatenation(rng, x):
    network, features = sequential(dense(6 + E, 7), tanh, dense(7, L)), sequential(dense(D, 6), tanh)
    f = joined(network, features)
    params, u = astype(f.init(rng), onp.float64), rng.standard_normal((3, N, E))
    out = f.apply(params, x, u)
    assert out.shape == (3, N, L)
    for i in range(3):
        h = features.apply(params[1], x)
        onp.testing.assert_allclose(out[i], network.apply(params[0], onp.hstack([h, u[i]])), rtol=1e-12)
    plain = joined(dense(D + E, L))
    p = plain.init(rng)
    onp.testing.assert_allclose(plain.apply(p, x, u[0]), dense(D + E, L).apply(p[0], onp.hstack([x, u[0]])), rtol=1e-6)


@pytest.mark.parametrize("samples", [(), (3,)], ids=["one sample", "k = 3"])
def test_gradients(networks, samples, rng, x):
    sampler, T, likelihood = networks
    psi, eps = astype(T.init(rng), onp.float64), rng.standard_normal((*samples, N, E))
    weights, mu, log_var = rng.standard_normal((*samples, N)), rng.standard_normal((N, L)), rng.standard_normal((N, L))
    phi = sampler.init(rng)
    for contrast in ((None, None), (lambda *_: (mu, log_var), gaussian_log_ratio)):
        model = vae(implicit_posterior(sampler, T, psi, *contrast), likelihood)
        params = {"phi": phi, "theta": likelihood.init(rng)}
        assert_gradient(lambda p, m=model: np.sum(weights * m.apply(p, x, eps)), params)
    prior = rng.standard_normal((*samples, N, L))
    for contrast, _ in contrasts(sampler, rng):
        loss = critic_loss(sampler, T, contrast)
        assert loss(psi, phi, x, eps, prior).shape == (*samples, N)
        assert_gradient(lambda psi, f=loss: np.sum(weights * f(psi, phi, x, eps, prior)), psi)


def test_float32_in_float32_out(networks, rng, x):
    sampler, T, _ = networks
    phi, psi, x = sampler.init(rng), T.init(rng), x.astype(onp.float32)
    eps, prior = rng.standard_normal((N, E), onp.float32), rng.standard_normal((N, L), onp.float32)
    for contrast in (None, moments(sampler, rng.standard_normal((7, E), onp.float32))):
        z, kl = implicit_posterior(sampler, T, psi, contrast, contrast and gaussian_log_ratio).apply(phi, x, eps)
        assert z.dtype == kl.dtype == critic_loss(sampler, T, contrast)(psi, phi, x, eps, prior).dtype == onp.float32
    model = vae(implicit_posterior(sampler, T, psi), implicit_likelihood)
    assert model.apply({"phi": phi, "theta": ()}, x, eps).dtype == onp.float32


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_logits_of_ten_thousand_give_finite_losses_and_gradients(logit):
    T = block(lambda psi, x, z: psi * z[..., 0])
    loss = critic_loss(block(lambda phi, x, eps: eps), T)
    one = onp.ones((1, 1))
    value, gradient = value_and_grad(lambda psi: np.sum(loss(psi, (), one, one, -one)))(onp.array(logit))
    assert (value, gradient) == ((0, 0) if logit > 0 else (-2 * logit, -2))     # −log σ(T) − log(1 − σ(−T)), twice one
    z, kl = implicit_posterior(block(lambda phi, x, eps: phi * eps), T, logit).apply(1.0, one, one)
    assert kl == logit


# Training ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("draws", [None, 7], ids=["plain", "adaptive contrast"])
def test_alternate_takes_the_critics_steps_then_one_of_the_models(networks, draws, rng, x):
    sampler, T, likelihood = networks
    params, psi = {"phi": sampler.init(rng), "theta": likelihood.init(rng)}, T.init(rng)
    optimizers = adam(0.01), rmsprop(0.02)

    def stream(seed, d):
        generator = onp.random.default_rng(seed)
        return lambda n: generator.standard_normal((n, d))

    states = list(alternate(sampler, T, likelihood, params, psi, minibatches(None, x, 3, epochs=2), stream(1, E),
                            stream(2, L), optimizers, steps=2, draws=draws, log_ratio=draws and gaussian_log_ratio))
    noise, prior = stream(1, E), stream(2, L)
    memory = [o.init(p) for o, p in zip(optimizers, (params, psi))]
    critic_step = value_and_grad(lambda psi, contrast, *args: np.mean(critic_loss(sampler, T, contrast)(psi, *args)))
    model_step = value_and_grad(lambda p, psi, contrast, *args: np.mean(
        vae(implicit_posterior(sampler, T, psi, contrast, contrast and gaussian_log_ratio), likelihood).apply(
            p, *args)))
    for batch, (model_state, critic_state) in zip([x[:3], x[3:]] * 2, states, strict=True):
        contrast = moments(sampler, noise(draws)) if draws else None            # new noise for each minibatch
        for _ in range(2):
            value, g = critic_step(psi, contrast, params["phi"], batch, noise(len(batch)), prior(len(batch)))
            psi, memory[1] = optimizers[1].update(psi, g, memory[1])
        assert critic_state.loss == value
        value, g = model_step(params, psi, contrast, batch, noise(len(batch)))
        params, memory[0] = optimizers[0].update(params, g, memory[0])
        assert model_state.loss == value
        for a, b in zip(leaves([params, psi]), leaves([model_state.params, critic_state.params])):
            onp.testing.assert_array_equal(a, b)
    assert (model_state.step, critic_state.step) == (4, 8)


# Bad input --------------------------------------------------------------------------------------------------------

def test_bad_input_is_named(networks, rng, x):
    sampler, T, _ = networks
    phi, psi, eps = sampler.init(rng), T.init(rng), rng.standard_normal((N, E))
    with pytest.raises(ValueError, match=r"joined\(.*x has shape \(5, 4\), its companion \(4, 3\); expected"):
        sampler.apply(phi, x, eps[:4])
    with pytest.raises(ValueError, match=r"x has shape \(4,\)"):
        sampler.apply(phi, x[0], eps)
    with pytest.raises(ValueError, match=r"T has shape \(5, 1\) for z of shape \(5, 2\)"):
        implicit_posterior(sampler, block(lambda psi, x, z: z[:, :1]), ()).apply(phi, x, eps)
    with pytest.raises(ValueError, match=r"T has shape \(5, 1\)"):
        critic_loss(sampler, block(lambda psi, x, z: z[:, :1]))((), phi, x, eps, rng.standard_normal((N, L)))
    with pytest.raises(ValueError, match=r"critic\(dense\(6, 2\)\): T has 2 numbers a sample; expected 1"):
        wide = critic(dense(D + L, 2))
        wide.apply(wide.init(rng), x, rng.standard_normal((N, L)))
    with pytest.raises(ValueError, match=r"z' has shape \(4, 2\).*; z of q has \(5, 2\)"):
        critic_loss(sampler, T)(psi, phi, x, eps, rng.standard_normal((4, L)))
    for bad in (eps[:1], eps[0]):
        with pytest.raises(ValueError, match="expected .m, e. with m of at least 2"):
            moments(sampler, bad)
    with pytest.raises(ValueError, match="alternate: 0 steps of the critic"):
        next(alternate(sampler, T, None, {"phi": phi}, psi, [x], None, None, (None, None), steps=0))
    stuck = block(lambda phi, x, eps: eps[..., :2] * onp.array([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"q has no spread in latents \[1\]"):
        moments(stuck, eps)(phi, x)


def test_names_read_like_the_code(networks):
    sampler, T, _ = networks
    assert sampler.name == ("joined(sequential(dense(9, 7), tanh, dense(7, 2)), sequential(dense(4, 6), tanh))")
    assert implicit_posterior(sampler, T, ()).name == f"implicit_posterior({sampler.name}, {T.name})"
    assert T.name == "critic(sequential(dense(6, 8), tanh, dense(8, 1)))"
