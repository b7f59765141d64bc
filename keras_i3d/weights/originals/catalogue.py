"""Every code whose files are read, network by network."""

from keras_i3d.weights.originals import inceptions, residuals

ORIGINALS = (*inceptions.ORIGINALS, *residuals.ORIGINALS)  # what the modules beside this one end in
