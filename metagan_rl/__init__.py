"""GAN training as Gymnasium environments: meta-learned training schedules, and a benchmark to trust them by.

Importing this registers the ``MetaGAN/...`` environments with Gymnasium, if that is installed. Torch is loaded with the
first name that needs it.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from metagan_rl.lazy import lazy
from metagan_rl.reproducible import set_libraries

if TYPE_CHECKING:
    from metagan_rl.agents.plugin import GANScheduler, QualityMeter, tune_gan
    from metagan_rl.extensions import load_extension

try:
    __version__ = version("metagan-rl")
except PackageNotFoundError:  # a checkout on the path that was never installed
    __version__ = "0+unknown"
if not (Path(__file__).parent / "agents").is_dir():
    # A checkout without symbolic links, as Windows and ZIP files make them: the rooms lie beside this folder.
    __path__.append(str(Path(__file__).resolve().parent.parent))
__all__ = ["GANScheduler", "QualityMeter", "__version__", "load_extension", "tune_gan"]
__getattr__ = lazy(
    __name__,
    {
        "GANScheduler": "metagan_rl.agents.plugin",
        "QualityMeter": "metagan_rl.agents.plugin",
        "tune_gan": "metagan_rl.agents.plugin",
        "load_extension": "metagan_rl.extensions",
    },
)

set_libraries()  # before Gymnasium loads NumPy
del set_libraries

try:
    from metagan_rl.envs.registration import register_environments
except ModuleNotFoundError as _error:
    if _error.name != "gymnasium":  # the plug-in needs only torch and NumPy
        raise
else:
    register_environments()
    del register_environments
