"""lipe_core stays readable: small modules, small functions, no import cycles."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "lipe_core"
MODULES = sorted(ROOT.rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 250, 40, 7

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(module: Path) -> str:
    """lipe_core/masks/__init__.py -> lipe_core.masks."""
    parts = module.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(module: Path) -> Iterator[FunctionNode]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, FunctionNode):
            yield node


def parameters(function: FunctionNode) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len([argument for argument in named if argument.arg not in ("self", "cls")])


def imports(module: Path) -> set[str]:
    """The modules of lipe_core that this module imports when it is itself imported, each by its full name."""
    known = {name_of(path) for path in MODULES}
    tree = ast.parse(module.read_text())
    late = {inner for function in functions(module) for inner in ast.walk(function)}
    found: set[str] = set()
    for node in set(ast.walk(tree)) - late:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= submodules if len(submodules) == len(node.names) else {*submodules, str(node.module)}
    return found & known


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_and_its_functions_are_small(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MOST_LINES
    for function in functions(module):
        assert function.end_lineno is not None
        assert function.end_lineno - function.lineno + 1 <= MOST_FUNCTION_LINES, function.name
        assert parameters(function) <= MOST_PARAMETERS, function.name


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name_of(module): imports(module) for module in MODULES}
    assert "lipe_core.shapes" in graph["lipe_core.masks.mask_ops"]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
