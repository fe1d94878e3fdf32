"""A base model's folder as files: its layout, its weight files and their hash. Nothing here imports torch."""
