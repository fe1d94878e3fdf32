"""The schema of the Helm chart's values, with the service's own settings from the class that reads them.

The rest of the schema is written by hand. Settings that the chart sets itself, and secrets, are not part of it.
"""

import json
from pathlib import Path
from typing import Any

from ledger.settings import Settings

FILE = Path(__file__).parents[2] / "deploy/helm/lipe/values.schema.json"
OF_THE_CHART = {
    "base_model",
    "broker_url",
    "credentials_chain_file",
    "credentials_key_file",
    "data_dir",
    "database_url",
    "device",
    "drain_seconds",  # by the grace period of a pool
    "heartbeat_file",
    "metrics_host",
    "metrics_port",
    "s3_access_key_id",
    "s3_endpoint_url",
    "s3_public_endpoint_url",
    "workers_per_gpu",  # Kubernetes gives each pod its GPU
}
KEPT = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


def render() -> str:
    """The text of values.schema.json."""
    schema = json.loads(FILE.read_text())
    schema["$defs"]["settings"]["properties"] = _properties()
    return json.dumps(schema, indent=2) + "\n"


def _properties() -> dict[str, dict[str, Any]]:
    described = Settings.model_json_schema()["properties"]
    return {
        f"LIPE_{name.upper()}": {"description": " ".join(rule["description"].split())}
        | {key: rule[key] for key in KEPT if key in rule}
        for name, rule in described.items()
        if name not in OF_THE_CHART and rule.get("format") != "password"
    }
