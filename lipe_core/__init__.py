"""LIPE: learn a subject's identity prior, then change its pose, expression or viewpoint in an image (arXiv 2406.17236).

The two functions that most callers need:

    import torch

    import lipe_core
    from lipe_core import base_models
    from lipe_core.methods.request import EditRequest
    from lipe_core.subject import Subject
    from lipe_core.training.learn import LearnRequest

    model = base_models.load("stabilityai/stable-diffusion-xl-base-1.0", device="cuda", dtype=torch.bfloat16)
    subject = Subject("sks", "dog")
    prior = lipe_core.learn(model, LearnRequest(subject, references, category="animal"))
    request = EditRequest(photo, "a photo of sks dog sitting", ("a photo of sks dog jumping",), subject)
    (edit,) = lipe_core.edit(model, request, prior=prior)
    edit.image.save("jumping.png")

`training/learn.py` has stage 1, the prior; `methods/nima/` has stage 2, the edit.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lipe_core.interface import edit, learn

__all__ = ["edit", "learn"]


def __getattr__(name: str) -> Any:
    """Import `learn` and `edit` at first use, so that `import lipe_core.errors` does not wait for diffusers."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lipe_core import interface

    return getattr(interface, name)
