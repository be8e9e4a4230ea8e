"""Tiny tensors: one thread is the fastest, and leaves the other cores to other tests."""

import torch

torch.set_num_threads(1)
