"""LIPE: learn a subject's identity prior, then change its pose, expression or viewpoint (arXiv 2406.17236).

Read `train.py` for stage 1 (the prior) and `nima.py` for stage 2 (the edit).
"""
