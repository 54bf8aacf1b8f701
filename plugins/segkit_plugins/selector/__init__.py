"""Bundled plugins of kind `selector`."""
