"""What one does with trained systems: compare, hear, and probe them."""
