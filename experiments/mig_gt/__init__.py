"""MIG-GT (arXiv 2412.13994) and its baselines; see README.md beside this file."""
