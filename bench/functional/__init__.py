"""Pure functions on tensors: normalisation, sums by class, attention, Gaussians, ridge and logistic regression."""
