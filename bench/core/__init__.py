"""What is dealt, stored and registered: features, memories, tasks, the protocols of methods and scenarios."""
