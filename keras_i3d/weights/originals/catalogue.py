"""Every code whose files are read, network by network."""

from keras_i3d.weights.originals import inceptions, residuals, resnets

# What the modules beside this one end in.
ORIGINALS = (*inceptions.ORIGINALS, *residuals.ORIGINALS, *resnets.ORIGINALS)
