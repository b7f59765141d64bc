"""Every code whose files are read, network by network."""

from keras_i3d.weights.originals import inception_v1, inceptions, residuals, resnets

# What the modules next to this one end in.
ORIGINALS = (*inceptions.ORIGINALS, *residuals.ORIGINALS, *resnets.ORIGINALS, *inception_v1.ORIGINALS)
