"""Training of segmenters: reading the data once, losses, augmentation, the loop, what is written.

`segkit.training.loop.train` does it all. Lightning, torchvision and the like are imported here and
by nothing else of the core, so that `segkit` starts without them.
"""
