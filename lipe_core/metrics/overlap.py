"""How well a mask that was found fits the true one."""

import numpy as np
from jaxtyping import Bool


def iou(seen: Bool[np.ndarray, "H W"], meant: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union of two masks; two empty ones agree."""
    union = (seen | meant).sum()
    return float((seen & meant).sum() / union) if union else 1.0
