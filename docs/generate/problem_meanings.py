"""The meaning of each problem code and of each error code of jobs, and what to do, for docs/problems.md."""

from collections.abc import Mapping

PROBLEMS: Mapping[str, str] = {
    "malformed_request": "The body cannot be read (a broken form, for example).",
    "unauthenticated": (
        "The key is missing, wrong, expired or revoked; `detail` says which. Send `Authorization: Bearer "
        "lipe_...` with a [valid key](keys.md)."
    ),
    "insufficient_scope": (
        "The key lacks the scope that `detail` names: `read` sees, `write` changes, `admin` manages "
        "[keys](keys.md), webhook endpoints and secrets."
    ),
    "refused_by_policy": (
        "The [policy](policy.md) of the service's operator refuses the prompt or the images; `detail` has its reason. "
        "Change the request, or ask the operator."
    ),
    "signed_url_invalid": "The URL of a file was changed, or it has expired. Read the resource again for a new URL.",
    "not_found": "The resource does not exist in this project. Resources of other projects are not found either.",
    "method_not_allowed": "The path does not support this method; `Allow` lists those that it supports.",
    "image_in_use": (
        "Subjects, edits or studies use the image: `used_by` lists up to 100 of each. Delete those first, remove the "
        "reference, or add `?cascade=true`."
    ),
    "prior_in_use": (
        "Queued or running edits need the prior: `used_by` lists them. Wait until they have ended, or delete them."
    ),
    "prior_not_ready": (
        "The subject has no ready prior, or the training of the named prior has not succeeded. Train one and "
        "wait for its job."
    ),
    "snapshot_unknown": (
        "The prior has no snapshot of the step; `detail` lists those that it has. An imported prior has none. "
        "[Snapshots](snapshots.md) explains them."
    ),
    "base_model_unknown": (
        "No worker of this service has ever loaded the base model. `detail` lists those that workers have loaded, and "
        "`GET /v1/models` those that they serve now."
    ),
    "base_model_mismatch": (
        "The prior was trained on another base model than the request names. Leave `base_model` out, or train a prior "
        "on that base model."
    ),
    "default_base_model_unknown": (
        "The request names no base model, and no worker has loaded `LIPE_DEFAULT_BASE_MODEL` yet. Name one, or start "
        "a worker of the default."
    ),
    "priors_not_mixable": (
        "The priors have different base models, different kinds of weights, or the same token; `detail` says which. "
        "[Mixing two priors](mixing.md) lists what can be mixed."
    ),
    "job_not_retryable": (
        "Only a job that failed, was canceled or expired can be retried, and only if it is the newest of its "
        "prior or edit, and its prior was not deleted."
    ),
    "too_many_subjects": "The project has `LIPE_MAX_SUBJECTS` subjects. Delete those that it no longer needs.",
    "too_many_images": "The project has `LIPE_MAX_IMAGES` images. Delete those that it no longer needs.",
    "image_bytes_used_up": (
        "The project's images have `LIPE_MAX_IMAGE_BYTES` bytes in all, as they are stored. Delete those that it no "
        "longer needs."
    ),
    "too_many_studies": "The project has `LIPE_MAX_STUDIES` studies. Delete those that it no longer needs.",
    "study_open": "A study has results once it is closed: `POST /v1/studies/{id}/close`. Raters cannot answer it then.",
    "study_closed": "The owner closed the study, an item of it was erased, or the consent of a person shown has ended.",
    "study_full": "The study has all the raters that it may have. Those can finish, and no others can begin.",
    "study_erased": "The study was deleted with all of its answers.",
    "study_link_invalid": "The token of the link was changed or cut off. Ask the study's owner for the whole link.",
    "too_many_endpoints": (
        "The project has `LIPE_MAX_WEBHOOK_ENDPOINTS` webhook endpoints. Delete those that it no longer needs."
    ),
    "upload_incomplete": (
        "The upload's URL has received no file, or a file of another size than announced. PUT the file, then "
        "send the request again."
    ),
    "upload_used": ("Another request has already created an image or a prior from the upload. Announce a new upload."),
    "idempotency_key_in_flight": "The first request with this key has not been answered yet.",
    "rotation_in_progress": (
        "A rotation would drop a secret that receivers may still use: wait until `former_expires_at`, or give a "
        "`keep_hours` of 0 to drop all former secrets at once."
    ),
    "upload_mismatch": "The PUT of an upload has another size or type than announced. Announce the file as it is.",
    "body_too_slow": (
        "No byte of the body arrived for 30 seconds, or fewer than 16 KiB a second after the first minute. Send it "
        "over a faster connection."
    ),
    "body_too_large": "The body is longer than this path accepts.",
    "image_too_large": "The file is larger than the service accepts (`LIPE_MAX_UPLOAD_BYTES`).",
    "lora_too_large": "The LoRA file is larger than the service accepts (`LIPE_MAX_IMPORT_BYTES`).",
    "lora_invalid": (
        "The uploaded file is no safetensors file of a LoRA, or it is damaged: `detail` says which. "
        "docs/import-a-lora.md says what can be imported."
    ),
    "image_format_unsupported": (
        "The first bytes are not those of a JPEG, PNG, WebP, HEIC or AVIF file. Name and content type do not matter."
    ),
    "range_not_satisfiable": "The header `Range` asks for bytes after the end of the file.",
    "invalid_request": "A field is missing, unknown, of the wrong type or out of range: see `errors`.",
    "idempotency_key_reused": "The key came with a different request before. Use a new key for a new request.",
    "image_too_many_pixels": "The header names more than 50 million pixels. Send a smaller image.",
    "image_sides_out_of_range": "A side is shorter than `LIPE_MIN_IMAGE_SIDE` or longer than 8192 pixels.",
    "image_animated": "The file has several frames. Send a still image.",
    "image_unreadable": "The file ends early or is damaged. Export it again.",
    "image_too_complex": "Decoding the file exceeds the limits of time or memory. Save it as a plain JPEG or PNG.",
    "reference_count": "A subject has 3 to 20 references. Add one before you remove one of the last three.",
    "consent_required": (
        "The subject is a person, or may be one: its class noun says so or is unknown, or a reference shows a face. "
        "Give a receipt of `consent`, or state `not_a_person`. For an edit: the image shows other people, and the "
        "operator wants `other_people`. See [consent](consent.md)."
    ),
    "consent_given": "Revoke the receipt that holds before you record another one.",
    "consent_ended": (
        "The person has revoked the consent, or it has expired. As the error of a job: the job was stopped for it. "
        "Record a new receipt if the person agrees again."
    ),
    "prompt_empty": "Describe the image that you want, naming the subject.",
    "prompt_without_subject": (
        'Every prompt names the subject by token and class noun, as in "a photo of sks dog jumping".'
    ),
    "mask_size_mismatch": "The mask must have the image's width and height (after applying its EXIF orientation).",
    "webhook_url_forbidden": (
        "The URL is not http(s), its port is not allowed (`LIPE_WEBHOOK_PORTS`), or its host is not public "
        "(`LIPE_ALLOW_PRIVATE_URLS`). A host name is resolved when the webhook is sent: the delivery's `last_error` "
        "says if it has no public address."
    ),
    "image_url_forbidden": (
        "The URL is not http(s), its host name has no address, its port is neither 80 nor 443, or the address is "
        "not public (`LIPE_ALLOW_PRIVATE_URLS`)."
    ),
    "image_url_unreachable": (
        "No file arrived: the server did not answer in time, redirected, or answered with another status than "
        "200; `detail` says which. Redirects are not followed: give the file's own URL. If it says that no file "
        "arrived within 30 seconds, check that a worker of webhooks runs."
    ),
    "too_many_requests": (
        "More requests than `LIPE_RATE_PER_KEY` or `LIPE_RATE_PER_ADDRESS` allow, or than the proxy of "
        "`docker-compose.yml` lets through; `Retry-After` says when to go on."
    ),
    "too_many_queued_jobs": "The project has `LIPE_MAX_QUEUED_JOBS` queued jobs.",
    "gpu_seconds_used_up": (
        "The project's jobs have used `LIPE_MAX_GPU_SECONDS_PER_DAY` seconds today; `Retry-After` ends after "
        "midnight (UTC)."
    ),
    "too_many_uploads": (
        "The project has `LIPE_MAX_PENDING_UPLOADS` uploads that are not images yet. They are deleted some "
        "time after their URLs expire."
    ),
    "too_many_streams": (
        "The project follows `LIPE_MAX_EVENT_STREAMS` jobs by streams of events already. End a stream, read the jobs "
        "repeatedly, or use [webhooks](webhooks.md)."
    ),
    "too_many_bodies": (
        "The project's requests in progress announce more than eight files of the largest size. Wait for their "
        "answers, or send fewer at once."
    ),
    "internal": "An error of the service.",
    "unavailable": "The database did not answer.",
    "policy_unavailable": (
        "The operator's [policy](policy.md) did not answer, and no request passes without it. Send the request again."
    ),
    "storage_unavailable": "The object storage did not answer, or the disk for temporary files is full: see `detail`.",
}
JOB_ERRORS: Mapping[str, str] = {
    "invalid_request": "The base model cannot do what the request asks for; `detail` says what to change.",
    "invalid_parameters": "The parameters contradict each other or the base model's recipe.",
    "invalid_subject": "Token or class noun cannot be used.",
    "invalid_captions": "The captions do not fit the references.",
    "captioner_unavailable": (
        "The model that writes captions (`LIPE_CAPTIONER`) is not set or cannot be loaded. Give every reference a "
        "caption and an edit its `source_prompt`, or correct the setting."
    ),
    "prior_mismatch": "The prior was trained on another base model: train it again.",
    "invalid_prior": "The prior's files are damaged: train it again.",
    "training_diverged": "The loss became NaN: lower `learning_rate`.",
    "signing_failed": (
        "A result could not be signed, so none was stored. The operator must look at the certificate, the key or the "
        "signing command: see docs/content-credentials.md. Then retry the job."
    ),
    "gpu_out_of_memory": (
        "The job does not fit into the GPU's memory, even with all memory-saving fallbacks: request fewer or "
        "smaller images."
    ),
    "object_damaged": (
        "The object storage repeatedly returns other bytes than were stored: upload the image again, or train "
        "the prior again."
    ),
    "object_missing": (
        "The object storage has lost an image or a prior: upload the image again, or train the prior again."
    ),
    "storage_unavailable": "The object storage was unavailable for too long: retry.",
    "refused_by_policy": (
        "The operator's [policy](policy.md) refused a result; `detail` has its reason. The result is deleted."
    ),
    "policy_unavailable": (
        "The operator's [policy](policy.md) did not answer for about a minute, so the result cannot be shown: retry."
    ),
    "stuck": (
        "The worker was alive but made no progress for `LIPE_STUCK_SECONDS`; `detail` names the stage. Retry, "
        "and check the worker's log; on a slow machine, raise the limit."
    ),
    "over_time": (
        "The job ran for longer than `LIPE_MAX_JOB_SECONDS`. Request fewer steps or images, or raise the limit."
    ),
    "worker_disk_full": (
        "The worker's disk is full. The operator must free space in `LIPE_DATA_DIR` and in the folder for temporary "
        "files; then retry the job. A training continues from its last checkpoint."
    ),
    "worker_lost": "Several workers in a row stopped responding while they ran the job: retry, and check their logs.",
    "internal_error": "An error of the service: report it with the job's id.",
}
