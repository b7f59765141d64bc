"""Network graphs: Keras alone, no files, no network, no particular backend."""

# First of all: once Keras is imported, every class of this package is registered with it, the networks' among them. A
# module of this folder that asked for Keras itself would be half imported at that point.
import keras  # noqa: F401
