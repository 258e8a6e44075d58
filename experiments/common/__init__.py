"""What the recommender experiments share: run, evaluate, sweep, recommend, report."""
