"""A local page over runs, live while they go; needs the extra ``serve``."""
