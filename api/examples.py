"""One example of every request and response body, for OpenAPI. Tests check them against its schemas."""

from collections.abc import Mapping
from typing import Any

UPLOAD = "upl_7d6c5b4a39281706f5e43c2b1a09f8e7"
IMAGE = "img_6f1d2a7c90b84f53a1e2c3d4e5f60718"
SUBJECT, PRIOR, EDIT = (f"{kind}_3c2b1a09f8e74d6c5b4a39281706f5e4" for kind in ("sub", "pri", "edt"))
JOB, ENDPOINT, DELIVERY = (f"{kind}_9f1c52e07b3d4c86a5f4e3d2c1b0a998" for kind in ("job", "whk", "dlv"))
STUDY, STUDY_IMAGE = (f"{kind}_5f4e3d2c1b0a9988776655443322110f" for kind in ("sty", "pic"))
KEY = "968621ff26b113c3"
MOMENT, LATER, NEXT_YEAR = "2026-01-31T12:00:00Z", "2026-01-31T12:04:10Z", "2027-01-31T12:00:00Z"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
HOOK, PROMPT = "https://example.com/hooks/lipe", "a photo of sks dog jumping"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="  # noqa: S105


def _file(role: str, name: str, content_type: str = "image/png") -> dict[str, Any]:
    url = f"https://s3.example.com/lipe/{name}?X-Amz-Signature=0a1b2c"
    details: dict[str, Any] = {}
    return {
        "role": role, "name": name, "content_type": content_type, "size": 48213, "sha256": SHA256, "details": details,
        "url": url,
    }  # fmt: skip


def _page(row: dict[str, Any]) -> dict[str, Any]:
    return {"data": [row], "has_more": False, "next_cursor": None}


_image = {
    "id": IMAGE, "width": 1024, "height": 768, "content_type": "image/png", "size": 1482911, "sha256": SHA256,
    "faces": 0, "created_at": MOMENT,
}  # fmt: skip
_upload = {
    "id": UPLOAD, "content_type": "image/jpeg", "size": 2318404,
    "url": "https://s3.example.com/lipe/file?X-Amz-Signature=0a1b2c", "headers": {"Content-Type": "image/jpeg"},
    "expires_at": LATER, "created_at": MOMENT,
}  # fmt: skip
_decision = {
    "id": "dec_9f1c52e07b3d4c86a5f4e3d2c1b0a998", "number": 1, "kind": "prompt", "outcome": "refused",
    "reason": "word_list", "policy": "house-rules", "actor": f"key:{KEY}", "ids": [SUBJECT, IMAGE],
    "digests": [SHA256], "previous": "0" * 64, "hash": SHA256, "created_at": MOMENT,
}  # fmt: skip
_references = [IMAGE, "img_1a2b3c4d5e6f40718293a4b5c6d7e8f9", "img_a1b2c3d4e5f60718293a4b5c6d7e8f90"]
_subject = {
    "id": SUBJECT, "name": "Rex", "class_noun": "dog", "token": "sks", "category": "animal", "consent": None,
    "not_a_person": False,
    "references": [{"image_id": image, "caption": None} for image in _references], "metadata": {"customer": "42"},
    "created_at": MOMENT,
}  # fmt: skip
_consent = {
    "id": "con_9f1c52e07b3d4c86a5f4e3d2c1b0a998", "person": "Ada Lovelace", "purpose": "images for her book",
    "until": None, "evidence": "folder 7", "state": "valid", "created_at": MOMENT, "ended_at": None,
}  # fmt: skip
_person = _subject | {"name": "Ada", "class_noun": "woman", "category": "person", "consent": _consent}
_prior = {
    "id": PRIOR, "subject_id": SUBJECT, "adapter_sha256": SHA256,
    "base_model": {"name": "sdxl", "fingerprint": SHA256}, "reference_ids": _references, "ready_at": LATER,
    "created_at": MOMENT, "warnings": [],
}  # fmt: skip
_snapshot = {
    "step": 375, "identity": 0.34, "flexibility": 0.91, "is_chosen": True, "is_recommended": True,
    "adapter_sha256": SHA256, "preview": _file("preview", "preview-375.png"),
}  # fmt: skip
_ready_prior = _prior | {
    "job_id": JOB, "manifest": {"base_model": "sdxl", "rank": 16},
    "artefacts": [
        _file("adapter", "adapter.safetensors", "application/octet-stream"),
        _file("manifest", "manifest.json", "application/json"),
    ],
    "snapshots": [_snapshot],
}  # fmt: skip
_edit = {
    "id": EDIT, "subject_id": SUBJECT, "prior_id": PRIOR, "prior_deleted_at": None,
    "mix": None, "image_id": IMAGE,
    "mask_image_id": None, "method": "nima", "source_prompt": None, "target_prompts": [PROMPT], "created_at": MOMENT,
    "warnings": [],
}  # fmt: skip
_urls = {name: f"/v1/jobs/{JOB}/{name}" for name in ("cancel", "retry", "events")} | {"self": f"/v1/jobs/{JOB}"}
_prior_job: dict[str, Any] = {
    "id": JOB, "kind": "prior", "status": "queued", "subject_id": SUBJECT, "prior_id": PRIOR, "edit_id": None,
    "base_model": SHA256, "attempt": 0, "waiting": None, "progress": None, "error": None, "warnings": [],
    "parameters": {"prior": {"steps": 800}, "regularization": {}},
    "resolved": {}, "metrics": {}, "metadata": {"order": "7"}, "webhook_url": HOOK, "webhook_events": [],
    "request_id": "req_1",
    "trace_id": None,
    "created_at": MOMENT, "queued_at": MOMENT, "started_at": None, "finished_at": None, "cancel_requested_at": None,
    "priority": 0, "expires_at": None,
    "urls": {**_urls, "result": f"/v1/priors/{PRIOR}"},
}  # fmt: skip
_edit_job = _prior_job | {
    "kind": "edit", "edit_id": EDIT, "parameters": {"nima": {"steps": 30}, "seeds": [7]},
    "urls": {**_urls, "result": f"/v1/edits/{EDIT}"},
}  # fmt: skip
_warning = {
    "code": "unlike_the_base_model",
    "message": "3 of 3 images are unlike those that the base model checkpoint knows: use one that knows such images",
}  # fmt: skip
_running_job = _prior_job | {
    "status": "running", "attempt": 1, "started_at": MOMENT, "warnings": [_warning],
    "progress": {"stage": "training", "step": 120, "total": 800, "loss": 0.083, "eta_seconds": 61.5},
}  # fmt: skip
_canceled_job = _running_job | {"cancel_requested_at": LATER}
_captions_job = _prior_job | {
    "kind": "captions", "prior_id": None, "parameters": {"image_ids": [IMAGE], "action": "jumping"},
    "urls": {**_urls, "result": f"/v1/captions/{JOB}"},
}  # fmt: skip
_mask_job = _prior_job | {
    "kind": "mask", "prior_id": None, "parameters": {"image_id": IMAGE},
    "urls": {**_urls, "result": f"/v1/masks/{JOB}"},
}  # fmt: skip
_caption = {
    "image_id": IMAGE, "caption": "a photo of a sks dog sitting in a meadow",
    "phrases": [{"text": "sitting in a meadow", "score": 2.4, "is_doubtful": False}],
    "target_prompt": "a photo of a sks dog jumping in a meadow",
}  # fmt: skip
_endpoint = {"id": ENDPOINT, "url": HOOK, "events": ["edit.succeeded"], "disabled_at": None, "created_at": MOMENT}
_key = {
    "id": KEY, "name": "the shop's web server", "scope": "write", "created_at": MOMENT, "expires_at": NEXT_YEAR,
    "revoked_at": None, "last_used_at": LATER,
}  # fmt: skip
_event_data = {
    "job_id": JOB, "status": "succeeded", "attempt": 1, "kind": "edit", "subject_id": SUBJECT, "prior_id": PRIOR,
    "edit_id": EDIT, "result_path": f"/v1/edits/{EDIT}", "warnings": [], "metadata": {"order": "7"},
}  # fmt: skip


def _linked(role: str, name: str, content_type: str = "image/png") -> dict[str, Any]:
    file = _file(role, name, content_type)
    return {field: file[field] for field in ("name", "content_type", "size", "sha256", "url")}


_result = {"number": 1, "prompt": PROMPT, "seed": 7, "image": _linked("image", "image-1.png")}
_event_facts: Mapping[str, Mapping[str, Any]] = {
    "edit.output": {
        "output": _result | {"edit_mask": _linked("edit_mask", "edit_mask-1.png")},
        "urls_expire_at": LATER,
    },
    "edit.succeeded": {"results": [_result], "urls_expire_at": LATER},
    "prior.succeeded": {
        "files": [{"role": "manifest", **_linked("manifest", "manifest.json", "application/json")}],
        "urls_expire_at": LATER,
    },
    "mask.succeeded": {
        "files": [{"role": "source_mask", **_linked("source_mask", "mask.png")}],
        "urls_expire_at": LATER,
    },
}
_delivery = {
    "id": DELIVERY, "endpoint_id": ENDPOINT, "job_id": JOB, "message_id": "msg_1c2d3e4f",
    "event_type": "edit.succeeded", "url": HOOK, "state": "delivered", "attempts": 1, "next_attempt_at": None,
    "last_status": 204, "last_error": None, "delivered_at": LATER, "created_at": LATER,
    "body": {"type": "edit.succeeded", "timestamp": LATER, "data": {**_event_data, **_event_facts["edit.succeeded"]}},
}  # fmt: skip

_model = {
    "name": "sdxl", "fingerprint": SHA256, "family": "sdxl", "native_size": 1024, "miniature": False,
    "license": "openrail++", "kinds": ["edit", "prior"], "workers": 2,
}  # fmt: skip
_worker = {
    "name": "gpu-1:4242", "host": "gpu-1", "version": "0.2.0", "gpu": "NVIDIA L40S", "gpu_memory_bytes": 47_810_936_832,
    "kinds": ["captions", "edit"], "base_model": "sdxl", "fingerprint": SHA256, "adapters": [SHA256], "state": "busy",
    "job_id": JOB, "seen_at": LATER,
}  # fmt: skip
_new_edit = {
    "subject_id": SUBJECT, "image_id": IMAGE, "prompt": PROMPT, "parameters": {"steps": 30}, "seed": 7,
    "metadata": {"order": "7"},
}  # fmt: skip

_dry_run = {
    "resolved": {"nima": {"steps": 20, "guidance_scale": 2.0}, "seeds": [7]},
    "images": 1, "seconds": 21.5, "based_on_jobs": 12, "reason": None, "position": 1,
}  # fmt: skip

_rules = {
    "min_answers": 1, "max_failed_checks": 1, "min_repeat_agreement": 0.0, "min_median_seconds": 0.5,
    "max_same_answer_share": 0.95,
}  # fmt: skip
_study = {
    "id": STUDY, "name": "Jumping dogs", "state": "open", "questions": ["identity", "satisfaction"],
    "systems": ["ddim", "lipe"], "items": 12, "attention_checks": 2, "repeats": 2, "questions_per_rater": 28,
    "max_raters": 50, "exclusion": _rules, "raters": 3, "finished_raters": 2, "answers": 61,
    "rater_token": f"{STUDY}_5f0c6f0e8c0f4b6f9a3d2b1c0e9d8c7b6a594837", "created_at": MOMENT, "closed_at": None,
}  # fmt: skip
_closed_study = _study | {"state": "closed", "rater_token": None, "closed_at": LATER}
_rating_image = f"ratings/images/{STUDY_IMAGE}?expires=1769861700&signature=5f0c6f0e8c0f4b6f9a3d2b1c0e9d8c7b6a594837"
_study_results = {
    "study_id": STUDY, "answers_used": 48,
    "questions": [
        {
            "question": "identity", "comparisons": 24, "agreement": 0.41,
            "systems": [
                {
                    "system": system, "comparisons": 24,
                    "share": {"value": share, "low": share - 0.1, "high": share + 0.1},
                    "score": {"value": score, "low": score - 0.3, "high": score + 0.3},
                }
                for system, share, score in (("lipe", 0.75, 0.5), ("ddim", 0.25, -0.5))
            ],
        }
    ],
    "raters": [
        {
            "number": 1, "answers": 28, "median_seconds": 4.2, "repeats": 2, "repeats_agreed": 2, "checks": 2,
            "checks_failed": 0, "same_answer_share": 0.46, "excluded": [],
        }
    ],
}  # fmt: skip

REQUESTS: Mapping[str, Any] = {
    "create_upload": {"content_type": "image/jpeg", "size": 2318404},
    "upload_image": {"upload_id": UPLOAD},
    "create_subject": {"name": "Rex", "class_noun": "dog", "references": _references, "metadata": {"customer": "42"}},
    "change_subject": {"name": "Rex II", "metadata": {"customer": None}, "captions": {IMAGE: "sks dog on a sofa"}},
    "add_reference": {"image_id": IMAGE, "caption": "sks dog on a sofa"},
    "give_consent": {"person": "Ada Lovelace", "purpose": "images for her book", "evidence": "folder 7"},
    "train_prior": {"parameters": {"steps": 800}, "metadata": {"order": "7"}, "webhook_url": HOOK},
    "dry_run_prior": {"preset": "best"},
    "choose_snapshot": {"step": 375},
    "import_prior": {"upload_id": UPLOAD, "metadata": {"order": "7"}},
    "create_captions": {"subject_id": SUBJECT, "image_ids": [IMAGE], "action": "jumping"},
    "create_mask": {"subject_id": SUBJECT, "image_id": IMAGE},
    "create_edit": _new_edit,
    "dry_run_edit": _new_edit,
    "create_study": {
        "name": "Jumping dogs",
        "systems": {"lipe": [EDIT], "ddim": ["edt_1a2b3c4d5e6f40718293a4b5c6d7e8f9"]},
        "questions": ["identity", "satisfaction"],
    },
    "create_rating": {"number": 1, "answer": "left", "seconds": 4.2},
    "create_webhook_endpoint": {"url": HOOK, "events": ["edit.succeeded"]},
    "rotate_webhook_endpoint_secret": {"keep_hours": 24},
    "rotate_webhook_secret": {"keep_hours": 24},
    "create_key": {"name": "the shop's web server", "scope": "write", "expires_at": NEXT_YEAR},
    "change_webhook_endpoint": {"disabled": False},
}
"""The JSON request body of each operation that has one, by operation id."""

RESPONSES: Mapping[str, Any] = {
    "create_upload": _upload,
    "upload_image": _image,
    "list_images": _page(_image),
    "get_image": _image | {"url": "https://s3.example.com/lipe/image.png?X-Amz-Signature=0a1b2c"},
    "create_subject": _subject,
    "list_subjects": _page(_subject),
    "get_subject": _subject,
    "change_subject": _subject,
    "add_reference": _subject,
    "give_consent": _person,
    "revoke_consent": _person | {"consent": _consent | {"state": "revoked", "ended_at": LATER}},
    "create_captions": _captions_job,
    "get_captions": {
        "id": JOB, "subject_id": SUBJECT, "status": "succeeded", "captioner": "llava-1.5-7b-hf", "captions": [_caption],
        "warnings": [],
    },
    "create_mask": _mask_job,
    "get_mask": {
        "id": JOB, "subject_id": SUBJECT, "image_id": IMAGE, "status": "succeeded",
        "mask": _file("source_mask", "mask.png"), "share": 0.214, "cut_off": ["bottom"], "warnings": [],
    },
    "train_prior": _prior_job,
    "import_prior": _prior_job | {"parameters": {"import": {"sha256": SHA256, "size": 186046352}}},
    "dry_run_prior": _dry_run | {"resolved": {"prior": {"steps": 1000}, "choices": {"preset": "best"}}, "images": 0},
    "list_priors": _page(_prior),
    "get_prior": _ready_prior,
    "choose_snapshot": _ready_prior,
    "create_edit": _edit_job,
    "dry_run_edit": _dry_run,
    "list_edits": _page(_edit),
    "verify_image": {
        "credentials": "valid", "made_here": True, "edit_id": EDIT, "failures": [],
        "signer": {
            "organization": "Example", "common_name": "Example images", "serial_number": "271828", "algorithm": "Es256",
        },
        "software": "LIPE 0.2.0", "ingredients": 1,
        "watermark": True, "watermark_edit_id": EDIT,
        "actions": [
            {"action": "c2pa.opened", "digital_source_type": None, "software": None, "regions": []},
            {
                "action": "c2pa.edited",
                "digital_source_type":
                    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
                "software": "LIPE 0.2.0", "regions": [{"left": 212, "top": 96, "width": 480, "height": 512}],
            },
        ],
    },
    "get_edit": _edit | {
        "job_id": JOB, "status": "succeeded", "action": None,
        "used_source_prompt": "a photo of sks dog sitting in a meadow",
        "results": [
            {
                "prompt": PROMPT, "seed": 7, "image": _file("image", "edit-0.png"),
                "source_mask": _file("source_mask", "source-mask.png"), "edit_mask": None, "uncomposited": None,
            }
        ],
    },
    "create_study": _study,
    "list_studies": _page(_study),
    "get_study": _study,
    "close_study": _closed_study,
    "get_study_results": _study_results,
    "get_next_ratings": {
        "study": "Jumping dogs", "answered": 0, "total": 28,
        "questions": [
            {
                "number": 1, "question": "identity", "prompt": PROMPT, "left": _rating_image,
                "right": _rating_image, "source": _rating_image, "references": [_rating_image],
            }
        ],
    },
    "create_rating": {"answered": 1, "total": 28},
    "list_models": _page(_model),
    "list_workers": _page(_worker),
    "list_jobs": _page(_edit_job | {"waiting": {"reason": "jobs_before_it", "position": 3}}),
    "get_job": _running_job,
    "cancel_job": _canceled_job,
    "retry_job": _prior_job,
    "create_webhook_endpoint": _endpoint | {"secrets": [SECRET]},
    "list_webhook_endpoints": _page(_endpoint),
    "get_webhook_endpoint": _endpoint,
    "change_webhook_endpoint": _endpoint,
    "get_webhook_endpoint_secret": {"secrets": [SECRET], "former_expires_at": None},
    "get_webhook_secret": {"secrets": [SECRET], "former_expires_at": None},
    "rotate_webhook_endpoint_secret": {"secrets": [SECRET, SECRET], "former_expires_at": LATER},
    "rotate_webhook_secret": {"secrets": [SECRET, SECRET], "former_expires_at": LATER},
    "create_key": _key | {"api_key": f"lipe_{KEY}_5f0c6f0e..."},
    "list_keys": _page(_key),
    "get_key": {
        "id": KEY, "name": "the shop's web server", "scope": "write", "scopes": ["read", "write"],
        "project": {"id": "prj_0198c2f15d2f4b60", "name": "default"}, "created_at": MOMENT, "expires_at": NEXT_YEAR,
    },
    "get_usage": {
        "queued_jobs": 3, "running_jobs": 1, "max_running_jobs": 8,
        "quotas": [
            {"name": "queued-jobs", "quota": 1000, "remaining": 997, "reset_seconds": None},
            {"name": "gpu-seconds", "quota": 86_400, "remaining": 80_000, "reset_seconds": 21_600},
        ],
    },
    "list_decisions": _page(_decision),
    "list_webhook_deliveries": _page(_delivery),
    "redeliver_webhook": _delivery | {"state": "pending", "delivered_at": None, "next_attempt_at": LATER},
    "healthz": {"status": "ok"},
    "readyz": {"database": True, "broker": True, "storage": True},
}  # fmt: skip
"""The JSON response body of each operation that has one, by operation id."""


def event(event_type: str) -> dict[str, Any]:
    """The body of a webhook of this type."""
    kind, _, state = event_type.partition(".")
    status = "running" if state in ("started", "output") else state
    data = _event_data | {"kind": kind, "status": status, **_event_facts.get(event_type, {})}
    if kind == "prior":
        data |= {"edit_id": None, "result_path": f"/v1/priors/{PRIOR}"}
    if kind == "captions":
        data |= {"edit_id": None, "prior_id": None, "result_path": f"/v1/captions/{JOB}"}
    if kind == "mask":
        data |= {"edit_id": None, "prior_id": None, "result_path": f"/v1/masks/{JOB}"}
    if state == "failed":
        data["error"] = {"code": "gpu_out_of_memory", "detail": "request fewer or smaller images"}
    return {"type": event_type, "timestamp": LATER, "data": data}
