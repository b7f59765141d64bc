"""What runs a network: Keras itself, or OpenVINO, compiled for this processor."""

from keras_i3d.runtimes.running import RUNTIMES, check, chosen, compile_for, compiled, version, with_version

__all__ = ["RUNTIMES", "check", "chosen", "compile_for", "compiled", "version", "with_version"]
