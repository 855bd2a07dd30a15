"""What one does with trained systems: tables and pictures of their results."""
