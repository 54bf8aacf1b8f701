"""Bundled plugins of kind `dataset`."""
