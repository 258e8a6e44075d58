"""Pictures from arrays; matplotlib is imported when the first one is drawn."""
