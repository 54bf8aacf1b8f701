"""The values that flow from step to step, and files of images."""
