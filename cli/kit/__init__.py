"""`lipe bench`: the paper's comparison on a folder of photos, on any SDXL checkpoint."""
