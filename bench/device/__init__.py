"""Where and how torch computes: devices, precision, deterministic kernels, what moves to a device."""
