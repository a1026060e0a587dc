"""Data sets: feature packs, bundled sets, images on disk, standard sets, memories found on the web."""
