"""What is wrong with a machine, a video, records, a run, an export or weights: findings, each with its remedy."""
