"""Published weights: safetensors, folders, the hub."""
