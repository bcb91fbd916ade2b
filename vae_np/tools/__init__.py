"""What serves the engine and teaches no VAE: saving, plots, diagrams. Nothing at the root imports it."""
