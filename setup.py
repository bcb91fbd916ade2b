from pathlib import Path

from setuptools import setup

setup(
    name="vae_np",
    version="1.0.0",
    description="Variational autoencoders from scratch in NumPy, every formula tested against an independent truth",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The vae_np authors",
    license="MIT",
    keywords=["variational autoencoder", "variational inference", "numpy", "autograd", "teaching"],
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=["vae_np", "vae_np.extensions", "vae_np.tools"],
    python_requires=">=3.10",
    install_requires=["numpy>=1.26", "autograd>=1.7", "scipy>=1.11", "matplotlib>=3.8"],
    extras_require={
        "demos": ["tqdm"],
        "mpi": ["mpi4py", "mpich"],
        "bench": ["tqdm", "torch", "jax", "keras"],
        "test": ["pytest", "pytest-xdist", "hypothesis", "mpmath", "tqdm", "ruff", "nbclient", "nbformat", "ipykernel",
                 "selenium"],
    },
)
