"""Optical flow, the input of the flow stream: by TV-L1, as its weights were trained on, and by other methods."""

from keras_i3d import on_first_use
from keras_i3d.flow.engine import QUALITIES, TVL1Params
from keras_i3d.flow.pairs import METHODS, compute, stream, tvl1
from keras_i3d.flow.quantize import dequantize_flow, quantize_flow
from keras_i3d.flow.stacks import bidirectional, stack, stack_along_trajectories, subtract_mean

__all__ = [
    "METHODS",
    "QUALITIES",
    "TVL1",
    "TVL1Params",
    "bidirectional",
    "compute",
    "dequantize_flow",
    "quantize_flow",
    "stack",
    "stack_along_trajectories",
    "stream",
    "subtract_mean",
    "tvl1",
]
# The layer alone needs Keras: to read a video and compute its flow takes none.
__getattr__, __dir__ = on_first_use.names(__name__, {"TVL1": "keras_i3d.flow.layer"})
