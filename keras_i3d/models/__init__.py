"""Network graphs: Keras alone, no files, no network, no particular backend."""
