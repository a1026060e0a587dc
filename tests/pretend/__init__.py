"""A pretend CUDA device, and what must hold on it; :mod:`tests.pretend.device` says how to use it."""
