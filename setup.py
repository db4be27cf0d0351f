"""Builds the native engine with the package, where a C++ compiler is there. All else is in pyproject.toml."""

import importlib.util
import shutil
import sys
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build
from setuptools.command.build_py import build_py

TEACHING = ("metagan_rl.experiments", "minimal_metagan")
FOLDER = Path("metagan_rl", "engine", "objects")

# By its path: the package it belongs to cannot be imported before it is installed.
_spec = importlib.util.spec_from_file_location(
    "metagan_engine_build", Path(__file__).parent / FOLDER.parent / "build.py"
)
engine = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(engine)


class BuildEngine(Command):
    """Builds the objects in the source tree, where an editable install finds them; a wheel gets copies."""

    description = "build the native engine"
    user_options = []
    editable_mode = False

    def initialize_options(self):
        """Nothing is known yet."""
        self.build_lib = None
        self.files = []

    def finalize_options(self):
        """The wheel is put together in the folder that the Python modules go to."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self):
        """Without a compiler it says so, and the installation goes on."""
        report = engine.build()
        print(report.message, flush=True)
        objects = [variant.path(FOLDER) for variant in report.variants]
        self.files = [each for path in objects for each in (path, engine.checksum_path(path))]
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib, FOLDER), ignore_errors=True)
            for copy, path in self.get_output_mapping().items():
                Path(copy).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)

    def get_output_mapping(self):
        """Where each file goes, and where it is."""
        return {str(Path(self.build_lib, path)): str(path) for path in self.files}

    def get_outputs(self):
        """What a wheel has of it."""
        return list(self.get_output_mapping())


class Build(build):
    """The engine first: whether it is there decides what kind of wheel is made."""

    sub_commands = [("build_engine", None), *build.sub_commands]


class Modules(build_py):
    """All but the file for teaching, which stands alone."""

    def find_package_modules(self, package, package_dir):
        """What of a package is built: package, module and file."""
        return [each for each in super().find_package_modules(package, package_dir) if each[:2] != TEACHING]


class Wheel(bdist_wheel):
    """A wheel with objects is for one platform and any Python 3; one without is for all."""

    def run(self):
        """Builds the engine before the wheel's kind is settled."""
        self.run_command("build_engine")
        if self.get_finalized_command("build_engine").get_outputs():
            self.root_is_pure = False
            self.distribution.has_ext_modules = lambda: True
        super().run()

    def get_tag(self):
        """No object knows anything of Python, so any Python 3 will do."""
        python, abi, platform = super().get_tag()
        return (python, abi, platform) if self.root_is_pure else ("py3", "none", platform)


setup(cmdclass={"bdist_wheel": Wheel, "build": Build, "build_py": Modules, "build_engine": BuildEngine})
