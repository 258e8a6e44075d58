"""COCO with captions, read from the user's copy."""
