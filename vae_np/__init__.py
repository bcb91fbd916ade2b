"""vae_np: variational autoencoders from scratch in NumPy, every formula tested against an independent truth.

Read the files in this order: layers, densities, models, autodiff, optimizers, training, evaluation.
"""

from vae_np import allocator
from vae_np.layers import Block, constant, dense, elementwise, heads, relu, sequential, summary, tanh
from vae_np.densities import bernoulli_nll, gaussian_kl, gaussian_log_ratio, gaussian_nll, location_scale
from vae_np.densities import sigmoid, softplus
from vae_np.models import bernoulli_likelihood, gaussian_likelihood, gaussian_posterior, vae
from vae_np.autodiff import stop_gradient, value_and_grad
from vae_np.nests import astype
from vae_np.optimizers import adam, rmsprop
from vae_np.training import State, dynamic, evaluate, gaussian_noise, gray, minibatches, threshold, train
from vae_np.evaluation import active_units, kl_by_dimension, log_likelihood, posterior_moments

__all__ = [
    "Block", "State", "active_units", "adam", "astype", "bernoulli_likelihood", "bernoulli_nll", "constant",
    "dense", "dynamic", "elementwise", "evaluate", "gaussian_kl", "gaussian_likelihood", "gaussian_log_ratio",
    "gaussian_nll", "gaussian_noise", "gaussian_posterior", "gray", "heads", "kl_by_dimension", "location_scale",
    "log_likelihood", "minibatches", "posterior_moments", "relu", "rmsprop", "sequential", "sigmoid",
    "softplus", "stop_gradient", "summary", "tanh", "threshold", "train", "vae", "value_and_grad",
]
__version__ = "1.0.0"
