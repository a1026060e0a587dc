"""Serving a kept classifier over HTTP; needs the extra ``serve``."""
