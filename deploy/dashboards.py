"""Write the dashboards of Grafana: ``python -m deploy.dashboards``. They are made, so that all panels are alike."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "lipe"}
WIDTH, HEIGHT, COLUMNS = 8, 8, 3


class Panel(NamedTuple):
    """A panel: its title, unit of Grafana, and queries by the legend of their series."""

    title: str
    unit: str
    queries: dict[str, str]


def rate(metric: str, by: str, selector: str = "") -> str:
    """The rate of a counter, summed over programs."""
    return f"sum by ({by}) (rate({metric}{selector}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", selector: str = "") -> str:
    """A quantile of a histogram over all programs."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{selector}[$__rate_interval])))"


def whole(metric: str, by: str, selector: str = "") -> str:
    """A metric of the whole service, which several programs report alike."""
    return f"max by ({by}) ({metric}{selector})"


def busiest(metric: str) -> str:
    """The rate of a counter of the tables that are written most."""
    return f'max by (table) (rate({metric}{{table=~"jobs|leases|workers"}}[$__rate_interval]))'


QUEUE = [
    Panel("Queued jobs", "short", {"{{kind}}": whole("lipe_jobs", "kind", '{state="queued"}')}),
    Panel("Running jobs", "short", {"{{kind}}": whole("lipe_jobs", "kind", '{state="running"}')}),
    Panel("Oldest queued job", "s", {"{{kind}}": whole("lipe_jobs_oldest_seconds", "kind", '{state="queued"}')}),
    Panel(
        "Queued jobs that no live worker can do", "short",
        {"{{kind}} {{base_model}}": whole("lipe_jobs_unserved", "kind, base_model")},
    ),
    Panel("Jobs finished", "ops", {"{{kind}} {{outcome}}": rate("lipe_jobs_finished_total", "kind, outcome")}),
    Panel(
        "Failures by code", "ops",
        {"{{kind}} {{code}}": rate("lipe_jobs_finished_total", "kind, code", '{outcome="failed"}')},
    ),
    Panel(
        "Succeeded, of those that ended with a result or a failure", "percentunit",
        {
            "{{kind}}": rate("lipe_jobs_finished_total", "kind", '{outcome="succeeded"}') + " / "
            + rate("lipe_jobs_finished_total", "kind", '{outcome=~"succeeded|failed"}')
        },
    ),
    Panel("Wait in the queue, 95 %", "s", {"{{kind}}": quantile(0.95, "lipe_job_queue_seconds", "kind")}),
    Panel("Whole job, 50 %", "s", {"{{kind}}": quantile(0.5, "lipe_job_seconds", "kind", '{outcome="succeeded"}')}),
    Panel("Whole job, 95 %", "s", {"{{kind}}": quantile(0.95, "lipe_job_seconds", "kind", '{outcome="succeeded"}')}),
    Panel("Requests", "reqps", {"{{status}}": rate("lipe_http_request_seconds_count", "status")}),
    Panel("Requests, 95 %", "s", {"{{method}}": quantile(0.95, "lipe_http_request_seconds", "method")}),
    Panel("Event streams", "short", {"open": "sum(lipe_event_streams)"}),
]  # fmt: skip
FLEET = [
    Panel("Workers by pool and state", "short", {"{{pool}} {{state}}": whole("lipe_workers", "pool, state")}),
    Panel("Time on workers, in GPUs", "short", {"{{kind}}": rate("lipe_gpu_seconds_total", "kind")}),
    Panel("Attempts lost", "ops", {"{{kind}}": rate("lipe_attempts_lost_total", "kind")}),
    Panel("Memory of the GPUs", "bytes", {"{{instance}} {{use}}": "lipe_gpu_memory_bytes"}),
    Panel(
        "In memory when a job needs them", "percentunit",
        {
            legend: f"sum(rate({metric}{{result=\"hit\"}}[$__rate_interval])) / sum(rate({metric}[$__rate_interval]))"
            for legend, metric in (("priors", "lipe_prior_cache_total"), ("objects", "lipe_input_cache_total"))
        },
    ),
    Panel("Stages, 95 %", "s", {"{{kind}} {{stage}}": quantile(0.95, "lipe_job_stage_seconds", "kind, stage")}),
    Panel("Renewals of leases", "ops", {"all": "sum(rate(lipe_lease_renewal_seconds_count[$__rate_interval]))"}),
    Panel("Main memory", "bytes", {"{{instance}}": "process_resident_memory_bytes{job=\"lipe\"}"}),
    Panel("Programs by version", "short", {"{{program}} {{version}}": "count by (program, version) (lipe_build)"}),
]  # fmt: skip
POSTGRES = [
    Panel(
        "Connections", "short",
        {"in use": "max(lipe_postgres_connections)", "limit": "max(lipe_postgres_max_connections)"},
    ),
    Panel("Transactions", "ops", {
        "committed": "max(rate(lipe_postgres_transactions_total[$__rate_interval]))",
        "rolled back": "max(rate(lipe_postgres_rollbacks_total[$__rate_interval]))",
        "deadlocks": "max(rate(lipe_postgres_deadlocks_total[$__rate_interval]))",
    }),
    Panel("Size", "bytes", {"database": "max(lipe_postgres_database_bytes)"}),
    Panel(
        "Wait for a connection, 95 %", "s",
        {"{{instance}}": quantile(0.95, "lipe_database_pool_wait_seconds", "instance")},
    ),
    Panel("Renewals of leases, 95 %", "s", {"all": quantile(0.95, "lipe_lease_renewal_seconds")}),
    Panel(
        "Renewals without an answer", "ops",
        {"all": "sum(rate(lipe_lease_renewals_failed_total[$__rate_interval]))"},
    ),
    Panel(
        "Updates in place (HOT)", "percentunit",
        {"{{table}}": f"{busiest('lipe_postgres_hot_updates_total')} / {busiest('lipe_postgres_updates_total')}"},
    ),
    Panel("Dead rows", "short", {"{{table}}": "topk(8, max by (table) (lipe_postgres_dead_rows))"}),
    Panel("Dispatcher's tasks, 95 %", "s", {"{{chore}}": quantile(0.95, "lipe_chore_seconds", "chore")}),
    Panel("Tasks that failed", "ops", {"{{chore}}": rate("lipe_chores_failed_total", "chore")}),
    Panel("Outbox", "short", {"entries": "max(lipe_outbox_entries)"}),
    Panel("Oldest entry of the outbox", "s", {"age": "max(lipe_outbox_oldest_seconds)"}),
]  # fmt: skip
WEBHOOKS = [
    Panel("Attempts by outcome", "ops", {"{{outcome}}": rate("lipe_webhook_attempts_total", "outcome")}),
    Panel("Receivers' answers, 95 %", "s", {"all": quantile(0.95, "lipe_webhook_attempt_seconds")}),
    Panel("Pending deliveries", "short", {"pending": "max(lipe_undelivered_webhooks)"}),
]
TENANTS = [
    Panel("Queued jobs", "short", {"{{name}}": whole("lipe_project_jobs", "name, project", '{state="queued"}')}),
    Panel("Running jobs", "short", {"{{name}}": whole("lipe_project_jobs", "name, project", '{state="running"}')}),
    Panel("GPU time today (UTC)", "s", {"{{name}}": whole("lipe_project_gpu_seconds_today", "name, project")}),
]
DASHBOARDS = {
    "queue": ("LIPE: queue and service level", QUEUE),
    "fleet": ("LIPE: fleet and GPUs", FLEET),
    "postgres": ("LIPE: Postgres and dispatcher", POSTGRES),
    "webhooks": ("LIPE: webhooks", WEBHOOKS),
    "tenants": ("LIPE: projects", TENANTS),
}


def render(name: str) -> dict[str, Any]:
    """The dashboard of that name, as Grafana loads it."""
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"lipe-{name}",
        "title": title,
        "tags": ["lipe"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def queries(panels: Sequence[Panel]) -> list[str]:
    """All queries of the panels."""
    return [query for panel in panels for query in panel.queries.values()]


def write() -> None:
    """Write all dashboards."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(json.dumps(render(name), indent=2) + "\n")


if __name__ == "__main__":
    write()
