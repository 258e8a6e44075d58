"""One file a paper: its Flax module and its objective."""
