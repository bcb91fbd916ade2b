from setuptools import setup

setup(
    name="vae_np",
    version="1.0.0",
    description="Variational autoencoders from scratch in NumPy, every formula proved",
    license="MIT",
    packages=["vae_np", "vae_np.extensions", "vae_np.tools"],
    python_requires=">=3.10",
    install_requires=["numpy>=1.26", "autograd>=1.7", "scipy>=1.11", "matplotlib>=3.8"],
    extras_require={
        "demos": ["tqdm"],
        "mpi": ["mpi4py", "mpich"],
        "bench": ["tqdm", "torch", "jax", "keras"],
        "test": ["pytest", "hypothesis", "mpmath", "tqdm", "ruff"],
    },
)
