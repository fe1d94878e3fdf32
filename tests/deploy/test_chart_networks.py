"""The chart's network policies open what the networks of docker-compose.yml open, and nothing else."""

from ipaddress import ip_address, ip_network
from typing import Any

from tests.deploy.chart_values import CASES, SERVERS
from tests.support.chart import Manifest, needs_helm, pods, render

pytestmark = needs_helm
SERVER_ADDRESSES = {"10.1.0.5": 5432, "10.2.0.5": 6379, "10.3.0.5": 443}
OUTSIDE, NEIGHBOUR = "93.184.215.14", "10.200.0.7"
CLUSTER = {
    "monitoring": {"kubernetes.io/metadata.name": "monitoring"},
    "ingress-nginx": {"kubernetes.io/metadata.name": "ingress-nginx"},
    "other": {"kubernetes.io/metadata.name": "x"},
}


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "NotIn"
        if labels.get(rule["key"]) in rule["values"]:
            return False
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())


def _rules(objects: list[Manifest], labels: dict[str, str], way: str) -> list[Any] | None:
    """The rules of the policies that select a pod. None: no policy does, so that everything is open."""
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    mine = [one for one in policies if way in one["policyTypes"] and _selects(one["podSelector"], labels)]
    return [rule for one in mine for rule in one.get(way.lower(), [])] if mine else None


def _ports(rule: dict[str, Any], port: int) -> bool:
    return "ports" not in rule or port in {one["port"] for one in rule["ports"]}


def _peers(rule: dict[str, Any], key: str, labels: dict[str, str], namespace: dict[str, str] | None) -> bool:
    for peer in rule[key]:
        if "ipBlock" in peer:
            continue
        if "namespaceSelector" in peer:
            if namespace is not None and _selects(peer["namespaceSelector"], namespace):
                return True
        elif namespace is None and _selects(peer["podSelector"], labels):
            return True
    return False


def _calls_pod(objects: list[Manifest], source: dict[str, str], target: dict[str, str], port: int) -> bool:
    out, inward = _rules(objects, source, "Egress"), _rules(objects, target, "Ingress")
    may_leave = out is None or any(_ports(rule, port) and _peers(rule, "to", target, None) for rule in out)
    return may_leave and (
        inward is None or any(_ports(rule, port) and _peers(rule, "from", source, None) for rule in inward)
    )


def _calls_address(objects: list[Manifest], source: dict[str, str], address: str, port: int) -> bool:
    rules = _rules(objects, source, "Egress")
    return rules is None or any(
        _ports(rule, port) and any("ipBlock" in peer and _has(peer["ipBlock"], address) for peer in rule["to"])
        for rule in rules
    )


def _has(block: dict[str, Any], address: str) -> bool:
    inside = [ip_network(one) for one in (block["cidr"], *block.get("except", []))]
    return ip_address(address) in inside[0] and not any(ip_address(address) in one for one in inside[1:])


def _labels(objects: list[Manifest]) -> dict[str, dict[str, str]]:
    return {component: pod["metadata"]["labels"] for component, pod in pods(objects).items()}


def test_every_pod_has_policies_for_both_ways() -> None:
    for case in set(CASES) - {"small"}:
        objects = render(CASES[case])
        for labels in _labels(objects).values():
            assert _rules(objects, labels, "Ingress") is not None
            assert _rules(objects, labels, "Egress") is not None


def test_only_the_webhook_worker_has_a_way_out_and_not_into_private_networks() -> None:
    objects = render(SERVERS)
    for component, labels in _labels(objects).items():
        assert _calls_address(objects, labels, OUTSIDE, 443) is (component == "webhooks"), component
        assert not _calls_address(objects, labels, NEIGHBOUR, 80), component
        assert not _calls_address(objects, labels, "169.254.169.254", 80), component  # the cloud's credentials
        reached = {
            address for address, port in SERVER_ADDRESSES.items() if _calls_address(objects, labels, address, port)
        }
        assert reached == set(SERVER_ADDRESSES), component


def test_sentinels_are_reached_beside_the_broker() -> None:
    objects = render(CASES["monitored"])
    labels = _labels(objects)["worker-edits"]
    reached = [port for port in (6379, 26379, 5432) if _calls_address(objects, labels, "10.2.0.5", port)]
    assert reached == [6379, 26379]


def test_the_download_of_models_reaches_the_hub_and_no_server() -> None:
    objects = render(CASES["two-models"])
    labels = _labels(objects)["models"]
    assert _calls_address(objects, labels, OUTSIDE, 443)
    assert not _calls_address(objects, labels, "10.1.0.5", 5432)


def test_no_program_reaches_another_one() -> None:
    objects = render(CASES["bundled"])
    labels = _labels(objects)
    servers = {"postgres": 5432, "broker": 6379, "s3": 8333}
    for source in set(labels) - set(servers):
        for target in set(labels) - {source}:
            expected = target in servers
            assert _calls_pod(objects, labels[source], labels[target], servers.get(target, 8000)) is expected, (
                source, target,
            )  # fmt: skip
        assert not _calls_pod(objects, labels[source], labels["postgres"], 22)
    for server in servers:
        assert not [target for target in labels if _calls_pod(objects, labels[server], labels[target], 8000)]


def test_the_ingress_controller_reaches_the_api_alone_and_prometheus_the_metrics_alone() -> None:
    objects = render(SERVERS)
    for component, labels in _labels(objects).items():
        rules = _rules(objects, labels, "Ingress")
        assert rules is not None
        readers = [
            name for name, namespace in CLUSTER.items()
            for rule in rules if _ports(rule, 9400) and _peers(rule, "from", {}, namespace)
        ]  # fmt: skip
        assert readers == ([] if component in {"migrate", "operator"} else ["monitoring"])
        reached = {
            name for name, namespace in CLUSTER.items()
            for rule in rules if _ports(rule, 8000) and _peers(rule, "from", {}, namespace)
        }  # fmt: skip
        assert reached == ({"ingress-nginx"} if component == "api" else set())


def test_the_programs_reach_the_pooler_and_it_reaches_postgres_alone() -> None:
    objects = render(CASES["pooled"])
    labels = _labels(objects)
    for program in set(labels) - {"pgbouncer"}:
        assert _calls_pod(objects, labels[program], labels["pgbouncer"], 6432)
    reached = {address for address, port in SERVER_ADDRESSES.items()
               if _calls_address(objects, labels["pgbouncer"], address, port)}  # fmt: skip
    assert reached == {"10.1.0.5"}
    assert _calls_address(objects, labels["api"], "10.9.0.1", 8443)  # extraEgress
    assert not _calls_address(objects, labels["dispatcher"], "10.9.0.1", 8443)


def test_every_pod_resolves_names() -> None:
    objects = render(SERVERS)
    for labels in _labels(objects).values():
        rules = _rules(objects, labels, "Egress")
        assert rules is not None
        system = {"kubernetes.io/metadata.name": "kube-system"}
        assert any(_ports(rule, 53) and _peers(rule, "to", {}, system) for rule in rules)
