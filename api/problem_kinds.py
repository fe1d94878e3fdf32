"""The closed list of problem codes, with the facts that all problems of one code share.

docs/problems.md explains each code. It is made of this list and of docs/generate/problem_meanings.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ProblemKind:
    """The facts that all problems of one code share. `retryable`: the same request may succeed later."""

    status: int
    title: str
    retryable: bool = False


PROBLEM_KINDS: Mapping[str, ProblemKind] = {
    "malformed_request": ProblemKind(400, "The request cannot be read"),
    "unauthenticated": ProblemKind(401, "A valid API key is needed"),
    "insufficient_scope": ProblemKind(403, "The API key may not do this"),
    "refused_by_policy": ProblemKind(403, "The operator's policy refuses this"),
    "study_link_invalid": ProblemKind(403, "The link of the study is not valid"),
    "signed_url_invalid": ProblemKind(403, "The signed URL is not valid"),
    "not_found": ProblemKind(404, "The resource does not exist"),
    "method_not_allowed": ProblemKind(405, "The resource does not support this method"),
    "image_in_use": ProblemKind(409, "The image is in use"),
    "prior_in_use": ProblemKind(409, "The prior is in use"),
    "prior_not_ready": ProblemKind(409, "The prior is not ready"),
    "consent_given": ProblemKind(409, "The subject has a consent that holds"),
    "consent_ended": ProblemKind(409, "The consent of the person shown has ended"),
    "job_not_retryable": ProblemKind(409, "The job cannot be retried"),
    "too_many_subjects": ProblemKind(409, "The project has too many subjects"),
    "upload_incomplete": ProblemKind(409, "The upload has no file yet"),
    "upload_used": ProblemKind(409, "The upload is already an image or a prior"),
    "too_many_images": ProblemKind(409, "The project has too many images"),
    "image_bytes_used_up": ProblemKind(409, "The images of the project have too many bytes"),
    "too_many_studies": ProblemKind(409, "The project has too many studies"),
    "study_open": ProblemKind(409, "The study is still open"),
    "study_closed": ProblemKind(409, "The study is closed"),
    "study_full": ProblemKind(409, "The study has enough raters"),
    "study_erased": ProblemKind(410, "The study was deleted"),
    "too_many_endpoints": ProblemKind(409, "The project has too many webhook endpoints"),
    "idempotency_key_in_flight": ProblemKind(409, "A request with this idempotency key is in progress", retryable=True),
    "rotation_in_progress": ProblemKind(409, "The former secret is still valid"),
    "upload_mismatch": ProblemKind(409, "The file is not the announced one"),
    "body_too_slow": ProblemKind(408, "The request body arrives too slowly", retryable=True),
    "body_too_large": ProblemKind(413, "The request body is too large"),
    "image_too_large": ProblemKind(413, "The image file is too large"),
    "lora_too_large": ProblemKind(413, "The LoRA file is too large"),
    "image_format_unsupported": ProblemKind(415, "The file is not a JPEG, PNG, WebP, HEIC or AVIF image"),
    "range_not_satisfiable": ProblemKind(416, "The file has none of the requested bytes"),
    "invalid_request": ProblemKind(422, "The request is invalid"),
    "snapshot_unknown": ProblemKind(422, "The prior has no such snapshot"),
    "base_model_unknown": ProblemKind(422, "The service does not know the base model"),
    "base_model_mismatch": ProblemKind(422, "The prior belongs to another base model"),
    "priors_not_mixable": ProblemKind(422, "The priors cannot be mixed"),
    "idempotency_key_reused": ProblemKind(422, "The idempotency key belongs to another request"),
    "image_too_many_pixels": ProblemKind(422, "The image has too many pixels"),
    "image_sides_out_of_range": ProblemKind(422, "The image is too small or too large"),
    "image_animated": ProblemKind(422, "The image is animated"),
    "image_unreadable": ProblemKind(422, "The image is damaged"),
    "image_too_complex": ProblemKind(422, "The image is too complex to decode"),
    "lora_invalid": ProblemKind(422, "The file is no LoRA that can be imported"),
    "reference_count": ProblemKind(422, "A subject needs 3 to 20 references"),
    "consent_required": ProblemKind(422, "A person as subject needs consent"),
    "prompt_empty": ProblemKind(422, "The prompt is empty"),
    "prompt_without_subject": ProblemKind(422, "The prompt does not name the subject"),
    "mask_size_mismatch": ProblemKind(422, "The mask and the image differ in size"),
    "image_url_forbidden": ProblemKind(422, "The image URL is not allowed"),
    "image_url_unreachable": ProblemKind(422, "There is no file at the image URL"),
    "webhook_url_forbidden": ProblemKind(422, "The webhook URL is not allowed"),
    "too_many_requests": ProblemKind(429, "Too many requests", retryable=True),
    "too_many_queued_jobs": ProblemKind(429, "The project has too many queued jobs", retryable=True),
    "gpu_seconds_used_up": ProblemKind(429, "The project has used up today's GPU seconds", retryable=True),
    "too_many_uploads": ProblemKind(429, "The project has too many pending uploads", retryable=True),
    "too_many_streams": ProblemKind(429, "The project has too many streams of events", retryable=True),
    "too_many_bodies": ProblemKind(429, "The project sends too much at once", retryable=True),
    "internal": ProblemKind(500, "The service failed", retryable=True),
    "unavailable": ProblemKind(503, "The database is not available", retryable=True),
    "default_base_model_unknown": ProblemKind(503, "No worker has had the default base model yet", retryable=True),
    "policy_unavailable": ProblemKind(503, "The operator's policy is not available", retryable=True),
    "storage_unavailable": ProblemKind(503, "The object storage is not available", retryable=True),
}
