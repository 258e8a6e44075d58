"""Encoders of images, and CLIP's two towers."""
