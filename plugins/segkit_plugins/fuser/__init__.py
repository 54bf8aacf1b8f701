"""Bundled plugins of kind `fuser`."""
