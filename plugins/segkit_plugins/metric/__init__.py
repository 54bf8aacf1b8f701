"""Bundled plugins of kind `metric`."""
