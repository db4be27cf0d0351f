"""A small GAN trainer for images, made to be read: ``python -m metagan_rl.experiments.studies.minimal``.

``recipes.py`` has the networks and numbers of three well-known papers, ``runner.py`` the loop. The loop is plain
PyTorch; what this package adds to it are the lines with ``scheduler`` in them.
"""

from metagan_rl.experiments.studies.minimal.recipes import RECIPES, Recipe
from metagan_rl.experiments.studies.minimal.runner import GANRunner, images_of

__all__ = ["RECIPES", "GANRunner", "Recipe", "images_of"]
