"""MovieLens latest-small for films with a poster: text, poster features and attributes; shipped."""
