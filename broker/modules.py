"""Plug-ins are files: a folder's modules by their file name."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def load(package: str) -> dict[str, ModuleType]:
    """Import every module of `package` and return {file name: module}, sorted by name."""
    path = import_module(package).__path__
    names = sorted(info.name for info in iter_modules(path) if not info.name.startswith("_"))
    return {name: import_module(f"{package}.{name}") for name in names}
