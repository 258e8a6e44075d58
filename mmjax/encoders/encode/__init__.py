"""Many inputs through an encoder: chunks, devices, vectors kept on disk."""
