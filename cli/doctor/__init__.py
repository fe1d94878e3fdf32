"""`lipe doctor`: check what an installation needs, one line a check."""
