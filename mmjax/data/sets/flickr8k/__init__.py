"""Flickr8k with captions, read from the user's copy."""
