"""Meta-initialisation: starting weights from which GANs learn new tasks fast. Importing this is cheap."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metagan_rl.meta_init.fomaml import train_fomaml_gan
    from metagan_rl.meta_init.joint import train_joint_gan
    from metagan_rl.meta_init.maml import train_maml_gan
    from metagan_rl.meta_init.options import MetaStep, RunOptions
    from metagan_rl.meta_init.reptile import train_reptile_gan
    from metagan_rl.meta_init.settings import MetaSettings
    from metagan_rl.meta_init.weights import (
        MetaDiscriminator,
        MetaGenerator,
        MetaInit,
        find_initial_weights,
        load_meta_init,
        save_meta_init,
    )

# Lazy, because populations import `weights`, and the methods import populations.
_HOMES = {
    "MetaDiscriminator": "weights",
    "MetaGenerator": "weights",
    "MetaInit": "weights",
    "MetaSettings": "settings",
    "MetaStep": "options",
    "RunOptions": "options",
    "find_initial_weights": "weights",
    "load_meta_init": "weights",
    "save_meta_init": "weights",
    "train_fomaml_gan": "fomaml",
    "train_joint_gan": "joint",
    "train_maml_gan": "maml",
    "train_reptile_gan": "reptile",
}
__all__ = [
    "MetaDiscriminator",
    "MetaGenerator",
    "MetaInit",
    "MetaSettings",
    "MetaStep",
    "RunOptions",
    "find_initial_weights",
    "load_meta_init",
    "save_meta_init",
    "train_fomaml_gan",
    "train_joint_gan",
    "train_maml_gan",
    "train_reptile_gan",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"metagan_rl.meta_init.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
