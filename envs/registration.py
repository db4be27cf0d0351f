"""Registers the environments with Gymnasium. Strings only: nothing heavy is imported before an environment is made."""

import gymnasium as gym

ENVIRONMENTS = {
    "MetaGAN/Dirac-v0": "dirac",
    "MetaGAN/Ring8-v0": "ring8",
    "MetaGAN/Grid25-v0": "grid25",
    "MetaGAN/Planar-v0": "planar",
    "MetaGAN/PlanarMixed-v0": "planar-mixed",
    "MetaGAN/PlanarLoops-v0": "planar-loops",
    "MetaGAN/Tabular-v0": "tabular",
    "MetaGAN/Digits-v0": "digits",
    "MetaGAN/MNIST-v0": "mnist",
    "MetaGAN/FashionMNIST-v0": "fashion-mnist",
}
"""Environment ids, with the suite each draws its tasks from; its module is named as the suite is."""


def register_environments() -> None:
    """Makes the ``MetaGAN/...`` ids known to ``gymnasium.make`` and ``gymnasium.make_vec``; may be called again."""
    for name, suite in ENVIRONMENTS.items():
        if name in gym.registry:
            continue
        module, stem = suite.replace("-", "_"), name.split("/")[1].split("-")[0]
        gym.register(
            id=name,
            entry_point=f"metagan_rl.envs.{module}:{stem}Env",
            vector_entry_point=f"metagan_rl.envs.{module}:{stem}VectorEnv",
        )
