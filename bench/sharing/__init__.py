"""Sharing runs, packs and classifiers: pushed to an address, pulled from it, every file checked by its hash."""
