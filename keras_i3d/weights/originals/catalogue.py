"""Every code whose files are read, network by network."""

ORIGINALS = ()  # what the modules beside this one end in
