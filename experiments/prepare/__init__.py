"""Commands that bring data of one's own into the form that the experiments read."""
