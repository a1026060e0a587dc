"""Choosing a method: what answers cost, which methods keep a budget, and the choice in words."""
