"""Every code whose files are read, network by network."""

from keras_i3d.weights.originals import residuals

ORIGINALS = residuals.ORIGINALS  # what the modules beside this one end in
