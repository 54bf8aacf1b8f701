"""How the bundled weights were made: commands that anyone can repeat from a seed.

These are not in the wheel. From a checkout that was installed with `pip install -e .`, or in its
folder `plugins`, each is called as `python -m segkit_training.NAME --help`: `nano`, `shapes` and
`judge` train what ships, `detector`, `dpt` and `small_clip` make small models for a try, `measure`,
`measure_clicks`, `measure_judge` and `measure_shapes` say what they reach, `several` makes data
sets of photos with several objects. The other modules serve these.
"""
