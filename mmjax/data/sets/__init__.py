"""The named data sets, a package each."""
