"""A grid of small models, each trained on the same rows and measured: architectures, losses, sizes, seeds."""
