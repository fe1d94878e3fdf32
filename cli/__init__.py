"""The `lipe` command."""
