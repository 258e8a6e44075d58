"""From an objective to trained parameters: steps, loop, checkpoints, logs."""
