"""Bundled plugins of kind `transform`."""
