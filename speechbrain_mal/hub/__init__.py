"""Enhancers on the Hugging Face hub.

Nothing is imported here: `inference` takes parts of this package, and others of its
parts take `inference`.
"""
