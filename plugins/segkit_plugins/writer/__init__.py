"""Bundled plugins of kind `writer`."""
