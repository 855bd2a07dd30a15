"""Enhancers as folders, and on the Hugging Face hub: safe to read, strict to load.

Nothing is imported here: publishing never waits for torch.
"""
