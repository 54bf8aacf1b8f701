"""Bundled plugins of kind `segmenter`."""
