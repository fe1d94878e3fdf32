"""Programs to start from. The distributions do not have them."""
