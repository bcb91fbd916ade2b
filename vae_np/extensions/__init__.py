"""One room for each system beyond the plain VAE. Each replaces one argument of the core, and
imports the core alone."""
