"""What a method costs: FLOPs, seconds, peak memory and energy by phase."""
