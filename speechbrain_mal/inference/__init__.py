"""Enhancers at work: those of finished runs."""
