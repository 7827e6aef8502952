"""A chapter in the notebook: its namespace, its exercises, its shell."""
