"""Models of what a user meets next: flags, data, evaluation, training and report."""
