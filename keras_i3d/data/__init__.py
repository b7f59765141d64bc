"""Videos as TFRecords, and TFRecords as batches of clips. Knows nothing of models."""
