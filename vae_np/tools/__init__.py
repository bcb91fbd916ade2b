"""What serves the engine and teaches no VAE: files, checkpoints, plots, diagrams."""
