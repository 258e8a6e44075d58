"""A user's recommendation by TIGER, with and without a cache of keys and values."""
