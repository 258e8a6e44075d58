"""Flickr30K with captions, read from the user's copy."""
