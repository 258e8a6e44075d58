"""Training steps of TIGER with histories padded to one length, and in batches of like length."""
