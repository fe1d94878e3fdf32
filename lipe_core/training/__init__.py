"""Learning a prior from references."""
