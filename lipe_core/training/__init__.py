"""Stage 1, the identity prior: `learn.py` leads from references to a prior, `train.py` has the training loop."""
