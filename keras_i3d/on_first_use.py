"""What waits until it is used: the public names of a package, and work that another package's import brings with it."""

import contextlib
import importlib
import sys
import threading

from keras_i3d import backend


def names(package, homes, modules=()):
    """Returns the `__getattr__` and `__dir__` of a package whose public names load when they are first used (PEP 562).

    Args:
        package: `__name__` of the package.
        homes: {public name: the module that holds it}.
        modules: public names that are modules of the package themselves.

    Returns:
        `__getattr__`, which raises AttributeError for any other name, and ImportError with the line of
        `backend.problem` if Keras cannot be imported; `__dir__`, which lists `__all__` alone.
    """
    module = sys.modules[package]
    homes = {**homes, **{name: f"{package}.{name}" for name in modules}}

    def load(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        try:
            home = importlib.import_module(homes[name])
        except Exception as error:
            problem = backend.problem()
            if problem is None:
                raise
            raise ImportError(problem) from error
        # Kept in the package, so that this is asked once. All names of that module are, because importing a module puts
        # it into its package, where a function of the module's own name would be hidden by it.
        for other, place in homes.items():
            if place == homes[name]:
                setattr(module, other, home if other in modules else getattr(home, other))
        return getattr(module, name)

    def listed():
        return sorted(module.__all__)

    return load, listed


def register_with_keras(modules):
    """Imports modules whose classes Keras has to know, to load a saved model: as soon as Keras itself is imported.

    Keras looks such a class up by its registered name and imports no module for it. If Keras is there already, the
    modules are imported now; importing it for their sake would take seconds of every script that reads a video.

    Args:
        modules: names of modules. Of this package they may import `models` and what needs no Keras: another module may
            be half imported at that point, because it is what asked for Keras.
    """

    @contextlib.contextmanager
    def then_register():
        yield
        for name in modules:
            importlib.import_module(name)

    if "keras" in sys.modules:
        with then_register():
            pass
    else:
        around_import(["keras"], then_register)


def around_import(packages, context):
    """Runs the import of each of some packages inside of a context, whoever imports it. It stays in place.

    Args:
        packages: names of top-level packages. One that was imported before is left as it is.
        context: makes the context manager that the package's own code then runs in.
    """
    sys.meta_path.insert(0, _Finder(packages, context))


class _Finder:
    """Finds what the other finders find, with a loader that opens the context first."""

    def __init__(self, packages, context):
        self.packages, self.context, self.asking = frozenset(packages), context, threading.local()

    def find_spec(self, name, path=None, target=None):
        if name not in self.packages or getattr(self.asking, "now", False):
            return None
        self.asking.now = True  # another _Finder would ask this one again
        try:
            others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
            spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        finally:
            self.asking.now = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, self.context)
        return spec


class _Loader:
    """Runs a module's code inside of a context, and leaves no trace of itself in the module."""

    def __init__(self, loader, context):
        self.loader, self.context = loader, context

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        with self.context():
            self.loader.exec_module(module)
