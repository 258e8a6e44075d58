"""Pure functions of arrays: no parameters owned, no files, no configuration objects."""
