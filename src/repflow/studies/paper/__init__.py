"""The whole study of the paper, arXiv 2510.06640, on any models: its parts, and what they say of its claims."""
