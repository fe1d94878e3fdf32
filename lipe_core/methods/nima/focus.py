"""NIMA's step 0: look for the subject in the whole image, and edit only a crop around it where that is sharper."""

from lipe_core.masks.localization import SubjectFinder
from lipe_core.masks.mask_images import hard_mask_image
from lipe_core.methods.crop import around, crop_around, snapped, whole
from lipe_core.methods.session import EditSession


def focused(session: EditSession, finder: SubjectFinder) -> EditSession:
    """The session on a crop around the subject, or around the user's mask, or on the whole image if that is as good.

    An image of about the network's own size needs no look. In a larger one, the look costs the finder's evaluations.
    """
    image, native_area = session.crop.size, session.model.native_size**2
    if crop_around(whole((1, 1)), image, native_area) == session.crop:  # even for the smallest subject
        return session
    mask = session.request.mask
    if mask is None:
        with session.clock.stage("inverting"):
            found = finder.silhouette(session.pixels(), session.x_0(), [session.source_prompt])
        session.inversion.evaluations += finder.evaluations
        mask = hard_mask_image(found.cpu(), image)
    subject = around(mask)
    if subject is None:
        return session
    part = crop_around(subject, image, native_area)
    if part == session.crop:
        return session
    return session.cropped(snapped(part, session.model.native_shape(part.size), image))
