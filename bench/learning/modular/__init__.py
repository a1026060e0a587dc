"""The parts of the memory-modular learner: its state, what a memory becomes in it, the forward pass, the training."""
