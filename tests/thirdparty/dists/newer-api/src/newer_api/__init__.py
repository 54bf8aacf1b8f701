"""Prompt with what segkit will have some day."""

from segkit import SomeDay  # noqa: F401
