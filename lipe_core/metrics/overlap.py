"""Agreement of a predicted mask with the true one."""

import numpy as np
from jaxtyping import Bool


def iou(predicted: Bool[np.ndarray, "H W"], truth: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union of two masks; 1 for two empty masks."""
    union = (predicted | truth).sum()
    return float((predicted & truth).sum() / union) if union else 1.0
