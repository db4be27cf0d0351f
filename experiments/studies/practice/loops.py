"""All loops by name, in the order of tables."""

from metagan_rl.experiments.studies.practice.ctgan import CTGAN
from metagan_rl.experiments.studies.practice.image_loops import DCGAN, LSGAN, MLP, R3GAN, SNGAN, WGANGP
from metagan_rl.experiments.studies.practice.loop import Loop
from metagan_rl.experiments.studies.practice.patch import Patch
from metagan_rl.registry import Registry

LOOPS: Registry[type[Loop]] = Registry("loop")
_ALL: dict[str, type[Loop]] = {
    "mlp": MLP, "dcgan": DCGAN, "wgan-gp": WGANGP, "sngan": SNGAN, "lsgan": LSGAN, "r3gan": R3GAN, "ctgan": CTGAN,
    "patch": Patch,
}  # fmt: skip
for _name, _loop in _ALL.items():
    LOOPS.register(_name, _loop)
