"""The words of the API: states, kinds and choices."""

from typing import Literal

Status = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
Kind = Literal["prior", "edit", "captions", "mask"]
Category = Literal["animal", "object", "person"]
DeliveryState = Literal["pending", "delivered", "exhausted", "disabled"]
ProjectScope = Literal["read", "write", "admin"]
Scope = Literal["read", "write", "admin", "operator"]
WorkerState = Literal["idle", "busy", "draining", "lost"]
Method = Literal[
    "nima",
    "nima_single_pass",
    "ddim",
    "sdedit",
    "prompt_to_prompt",
    "masactrl",
    "dreamctrl",
    "imagic",
    "ledits",
    "mystyle",
    "reference_tokens",
]
OutputFormat = Literal["png", "jpeg", "webp"]
Preset = Literal["fast", "balanced", "best"]
Identity = Literal["low", "normal", "high"]
Change = Literal["small", "normal", "large"]
ResultKind = Literal["archival", "published"]
CredentialState = Literal["absent", "valid", "untrusted", "broken"]
TERMINAL_STATUSES = frozenset({"succeeded", "failed", "canceled", "expired"})
