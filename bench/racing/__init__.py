"""Racing methods and settings on held-out labelled images, with a sequential test that may be looked at at any time."""
