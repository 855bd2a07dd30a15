"""A package, lest that of the same name which torch-pesq installs be taken for it."""
