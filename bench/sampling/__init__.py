"""What scenarios share when they deal: class splits, shots, memories, noise, edits."""
