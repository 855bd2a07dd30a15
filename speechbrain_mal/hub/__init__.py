"""Enhancers as folders, and on the Hugging Face hub: safe to read, strict to load."""
