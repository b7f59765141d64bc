"""For mkdocstrings: the builders of networks with the arguments and the words that they have once they are made.

`keras_i3d.builders.builder` gives each the arguments that all have in common, which the source of the function does not
show.
"""

import importlib
import inspect

import griffe


class Builders(griffe.Extension):
    """Takes the signature and the docstring of each function that `builder` makes from the imported module."""

    def on_function_instance(self, *, func, **_):
        if not any(str(decorator.value).startswith("builder(") for decorator in func.decorators):
            return
        made = getattr(importlib.import_module(func.module.path), func.name)
        func.docstring = griffe.Docstring(inspect.getdoc(made), parent=func)
        kinds = {kind.name: griffe.ParameterKind[kind.name.lower()] for kind in inspect._ParameterKind}
        func.parameters = griffe.Parameters(
            *(
                griffe.Parameter(
                    parameter.name,
                    kind=kinds[parameter.kind.name],
                    default=None if parameter.default is inspect.Parameter.empty else repr(parameter.default),
                )
                for parameter in inspect.signature(made).parameters.values()
            )
        )
