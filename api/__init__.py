"""The HTTP face of LIPE: requests are checked, written to the ledger and answered. Never imports torch."""
