"""Bundled plugins of kind `prompt`."""
