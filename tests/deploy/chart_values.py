"""Values of the chart for its tests: installations that operators have."""

from typing import Any

SERVERS: dict[str, Any] = {
    "existingSecret": "lipe-secrets",
    "database": {"cidrs": ["10.1.0.0/16"]},
    "broker": {"cidrs": ["10.2.0.0/16"]},
    "storage": {"endpointUrl": "https://s3.example.com", "cidrs": ["10.3.0.0/16"]},
}
SDXL = {
    "name": "sdxl",
    "repository": "stabilityai/stable-diffusion-xl-base-1.0",
    "revision": "462165984030d82259a11f4367a4eed129e94a7b",
    "ignore": ["*.bin", "*.onnx*"],
}
TWO_MODELS = [
    {"name": "edits-a", "queues": ["edits"], "baseModel": "sdxl", "replicas": 3,
     "gpu": {"resource": "nvidia.com/gpu.shared"}, "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"},
     "settings": {"LIPE_CAPTIONER": "/models/llava"}, "graceSeconds": 240},
    {"name": "both-b", "queues": ["priors", "edits"], "baseModel": "other", "gpu": {"count": 0}, "threads": 4,
     "image": "lipe-worker-cpu", "tolerations": [], "runtimeClassName": "runc"},
]  # fmt: skip
SCALED = [
    {"name": "edits", "queues": ["edits"], "baseModel": "sdxl",
     "scaling": {"enabled": True, "maxReplicas": 20, "minReplicas": 1}},
    {"name": "priors", "queues": ["priors"], "baseModel": "sdxl", "scaling": {"enabled": True, "maxReplicas": 4}},
]  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "external": SERVERS,
    "bundled": {"existingSecret": "lipe-secrets", "bundled": {"enabled": True, "storageClass": "local-path"}},
    "two-models": SERVERS | {
        "workers": TWO_MODELS,
        "models": {"download": [SDXL], "tokenKey": "hub_token", "hubUrl": "https://hub.example.com"},
        "settings": {"LIPE_MAX_RUNNING_JOBS": 3, "LIPE_MAX_IMPORT_BYTES": 1_073_741_824, "LIPE_FIND_FACES": False},
    },
    "scaled": SERVERS | {"workers": SCALED, "scaler": {"host": "db.example.com"}},
    "pooled": SERVERS | {
        "pgbouncer": {"enabled": True, "replicas": 3},
        "ingress": {"enabled": True, "tlsSecret": "lipe-tls"},
        "images": {"registry": "registry.example.com/ml", "pullSecrets": ["registry"]},
        "serviceAccounts": {"worker": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/lipe"}},
        "networkPolicy": {"extraEgress": {"api": [{"to": [{"ipBlock": {"cidr": "10.9.0.1/32"}}]}]}},
    },
    "monitored": SERVERS | {
        "metrics": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True},
            "dashboards": {"enabled": True},
        },
        "webhooks": {"replicas": 2},
        "broker": {"cidrs": ["10.2.0.0/16"], "sentinelPort": 26379},
    },
    "small": SERVERS | {
        "api": {"replicas": 1, "autoscaling": {"enabled": False}},
        "dispatcher": {"replicas": 1},
        "networkPolicy": {"enabled": False},
        "contentCredentials": False,
        "metrics": {"enabled": False},
        "storage": {"endpointUrl": "https://s3.example.com", "accessKeys": False},
        "models": {"existingClaim": "my-models"},
    },
}  # fmt: skip
