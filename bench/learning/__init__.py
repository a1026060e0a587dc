"""What methods share when they learn: prototypes, held-out images, exemplars, training, saved states."""
