"""The drawn world: images with known truth, and miniature models of SDXL's classes that know it."""
