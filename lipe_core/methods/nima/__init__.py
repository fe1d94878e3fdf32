"""NIMA, LIPE's own editing method: non-rigid editing via identity-aware mask blend."""
