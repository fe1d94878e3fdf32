"""Render or lint a chart with Helm's own engine: ``python -m tests.support.helm_program``, JSON in and JSON out.

A program of its own, because the engine is a Go runtime, which does not survive a fork.
"""

import json
import sys

import helm_python


def main() -> None:
    """Read {chart, values, name, namespace} and write {manifests, messages}, or {error}."""
    given = json.load(sys.stdin)
    try:
        with helm_python.Chart.load(given["chart"]) as chart:
            manifests = chart.render(given["values"], name=given["name"], namespace=given["namespace"])
        messages = helm_python.lint(given["chart"], given["values"], strict=True)["messages"]
    except helm_python.HelmError as error:
        json.dump({"error": str(error)}, sys.stdout)
    else:
        json.dump({"manifests": manifests, "messages": messages}, sys.stdout)


if __name__ == "__main__":
    main()
