"""vae_np: variational autoencoders from scratch in NumPy, every formula tested against an
independent truth.

Read the files in this order: layers, densities, models, autodiff, optimizers, training, evaluation.
"""

from vae_np import allocator
from vae_np.layers import Block, constant, dense, elementwise, heads, relu, sequential, tanh
from vae_np.layers import summary
from vae_np.densities import bernoulli_nll, gaussian_nll, sigmoid, softplus
from vae_np.densities import gaussian_kl, gaussian_log_ratio, location_scale
from vae_np.models import bernoulli_likelihood, gaussian_likelihood, gaussian_posterior, vae
from vae_np.autodiff import stop_gradient, value_and_grad
from vae_np.nests import astype
from vae_np.optimizers import adam, rmsprop
from vae_np.training import State, dynamic, gaussian_noise, gray, minibatches, threshold
from vae_np.training import evaluate, train
from vae_np.evaluation import active_units, kl_by_dimension, log_likelihood, posterior_moments

__all__ = [
    "Block", "constant", "dense", "elementwise", "heads", "relu", "sequential", "summary", "tanh",
    "bernoulli_nll", "gaussian_nll", "sigmoid", "softplus",
    "gaussian_kl", "gaussian_log_ratio", "location_scale",
    "bernoulli_likelihood", "gaussian_likelihood", "gaussian_posterior", "vae",
    "stop_gradient", "value_and_grad", "astype", "adam", "rmsprop",
    "State", "dynamic", "gaussian_noise", "gray", "minibatches", "threshold", "evaluate", "train",
    "active_units", "kl_by_dimension", "log_likelihood", "posterior_moments",
]
__version__ = "1.0.0"
