"""What the library offers, for tests that hold all of it to one law."""

import importlib
from pathlib import Path
from types import FunctionType

import vae_lib

MODULES = sorted(p.stem for p in Path(vae_lib.__file__).parent.glob("[!_]*.py"))


def public_objects() -> dict[str, object]:
    """Public functions and classes of the library, and the methods of these."""
    found = {}
    for module_name in (*MODULES, "__main__"):
        module = importlib.import_module(f"vae_lib.{module_name}")
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") == module.__name__ and name[0] != "_":
                found[f"{module_name}.{name}"] = value
                for key, method in vars(value).items():
                    kinds = FunctionType | property | classmethod
                    if key[0] != "_" and isinstance(method, kinds):
                        found[f"{module_name}.{name}.{key}"] = method
    return found
