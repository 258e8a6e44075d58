"""Pictures of emoji with names and tags; shipped."""
