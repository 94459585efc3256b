"""Every public name says what it does with an example, stands in the reference, and is typed as it is compiled."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import rad_fast

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    "rad_fast": (),
    "rad_fast.distill": ("torch",),
    "rad_fast.ray": ("ray", "pyarrow"),
    "rad_fast.stream": (),
}
NEEDS = {name: [need for need in needs if importlib.util.find_spec(need) is None] for name, needs in MODULES.items()}
MADE = ("__delattr__", "__eq__", "__setattr__")  # by dataclass, without types
COMPILED = {
    "_cpu": ("bindings_cpu.cpp", "bindings_classes.cpp", "bindings_one_pass.cpp", "bindings_arrival.cpp"),
    "_cuda": ("bindings_cuda.cpp", "bindings_cuda_classes.cpp"),
}


def public(module: str) -> list[str]:
    found = importlib.import_module(module)
    return sorted(getattr(found, "__all__", None) or ["select"])  # rad_fast.ray has one name


def names() -> list[object]:
    found = []
    for module, missing in NEEDS.items():
        if missing and module != "rad_fast.ray":  # that one needs Ray when it is called
            skip = pytest.mark.skip(reason=f"{missing[0]} is not installed")
            found.append(pytest.param(module, "", marks=skip, id=module))
        else:
            found += [pytest.param(module, name, id=f"{module}.{name}") for name in public(module)]
    return found


@pytest.mark.parametrize(("module", "name"), names())
def test_a_public_name_is_described_with_an_example(module: str, name: str) -> None:
    thing = getattr(importlib.import_module(module), name)
    text = described_in_source(module, name) if isinstance(thing, dict) else inspect.cleandoc(thing.__doc__ or "")
    first = text.split("\n\n")[0]
    assert first, "no docstring"
    assert first.rstrip()[-1] in ".:", f"the first paragraph is no sentence: {first}"
    if not isinstance(thing, dict):
        assert "Examples\n--------\n" in text, "no section Examples"
        assert ">>> " in text, "no example that a test could run"


@pytest.mark.parametrize(("module", "name"), names())
def test_the_methods_of_a_public_class_are_described(module: str, name: str) -> None:
    thing = getattr(importlib.import_module(module), name)
    if not inspect.isclass(thing):
        return
    bare = [
        attribute
        for attribute, value in vars(thing).items()
        if not attribute.startswith("_") and inspect.isfunction(value) and not value.__doc__
        if attribute != "forward"  # of torch modules: the class says what is called
    ]
    assert not bare, f"without docstring: {bare}"


@pytest.mark.parametrize(("module", "name"), names())
def test_a_public_name_is_fully_typed(module: str, name: str) -> None:
    thing = getattr(importlib.import_module(module), name)
    callables = [thing] if inspect.isfunction(thing) else []
    if inspect.isclass(thing) and thing.__module__.startswith("rad_fast"):
        callables = [value for value in vars(thing).values() if inspect.isfunction(value)]
    for function in callables:
        untyped = [
            parameter.name
            for parameter in inspect.signature(function).parameters.values()
            if parameter.annotation is parameter.empty and parameter.name != "self"
        ]
        assert not untyped or function.__name__ in MADE, f"{function.__qualname__}: no type for {untyped}"


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(rad_fast.__file__).parent / "py.typed").exists()


def test_the_reference_has_every_public_name_and_no_other() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    there = set(re.findall(r"^::: (\S+)", pages, re.M))
    for module, missing in NEEDS.items():
        if missing and module != "rad_fast.ray":
            continue
        expected = {f"{module}.{name}" for name in public(module)}
        assert expected <= there, f"not in docs/api: {sorted(expected - there)}"
    for name in there:
        module, _, attribute = name.rpartition(".")
        if not NEEDS.get(module):
            assert hasattr(importlib.import_module(module), attribute), f"docs/api: there is no {name}"


def test_the_reference_of_the_command_line_has_every_option() -> None:
    """docs/api/cli.md has a section for each command, and each section every option."""
    cli = importlib.import_module("rad_fast.cli")
    page = (ROOT / "docs" / "api" / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## rad-fast (\w+)$(.*?)(?=^## |\Z)", page, re.M | re.S))
    assert sorted(sections) == sorted(command.name for command in cli.COMMANDS)
    (commands,) = (action for action in cli.parser()._actions if getattr(action, "choices", None))
    for name, section in sections.items():
        options = {option for action in commands.choices[name]._actions for option in action.option_strings}
        there = set(re.findall(r"(?<![\w-])--[\w-]+", section))
        assert {option for option in options if option.startswith("--")} - {"--help"} <= there, name


# ------------------------------------------------------------------------------------------- the compiled modules


@pytest.mark.parametrize("module", COMPILED)
def test_a_stub_has_the_names_and_arguments_that_the_binding_defines(module: str) -> None:
    source = bound_in(module)
    bound = {name: arguments for name, arguments, _ in bindings(CLASS.sub("", source))}
    assert len(bound) >= 10
    assert {name: list(arguments) for name, arguments in stub(module)[0].items()} == bound
    classes = {name: methods_bound(definition) for name, definition in CLASS.findall(source)}
    assert {
        name: {method: list(arguments) for method, arguments in methods.items()}
        for name, methods in stub_classes(module).items()
    } == classes


@pytest.mark.parametrize("module", COMPILED)
def test_a_stub_has_the_attributes_that_the_binding_sets(module: str) -> None:
    source = bound_in(module)
    assert sorted(stub(module)[1]) == sorted(re.findall(r'module\.attr\("(\w+)"\)', source))


@pytest.mark.parametrize("module", COMPILED)
def test_a_stub_agrees_with_the_module_as_it_is_compiled(module: str) -> None:
    compiled = pytest.importorskip(f"rad_fast.{module}", reason=f"rad_fast.{module} was not built here")
    functions, attributes = stub(module)
    here = {name for name in dir(compiled) if not name.startswith("__")}
    classes = stub_classes(module)
    assert here == functions.keys() | attributes | classes.keys()
    found = {name: getattr(compiled, name) for name in functions}
    for name, methods in classes.items():
        functions |= {f"{name}.{method}": arguments for method, arguments in methods.items()}
        found |= {f"{name}.{method}": getattr(getattr(compiled, name), method) for method in methods}
    for name, arguments in functions.items():
        signature = found[name].__doc__.splitlines()[0].replace("self: rad_fast._cpu.", "self ")
        assert re.findall(r"(\w+): ", signature) == list(arguments), signature
        returned = signature.partition(" -> ")[2].replace("numpy.typing.", "").replace("object", "Any")
        assert returned.partition("[")[0] in inner(arguments.returns), signature


def bound_in(module: str) -> str:
    return "".join((ROOT / "csrc" / name).read_text(encoding="utf-8") for name in COMPILED[module])


class Arguments(dict[str, str]):
    """Arguments of a stub's function with their types, and what it returns."""

    returns: str


def stub(module: str) -> tuple[dict[str, Arguments], set[str]]:
    """The functions and the attributes of a stub."""
    tree = ast.parse((ROOT / "rad_fast" / f"{module}.pyi").read_text(encoding="utf-8"))
    functions: dict[str, Arguments] = {}
    attributes: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            # A name such as "from", which is Python's own, has an underscore behind it in the stub.
            arguments = Arguments({each.arg.rstrip("_"): typed(each.annotation) for each in node.args.args})
            arguments.returns = typed(node.returns)
            assert "" not in [*arguments.values(), arguments.returns], f"{node.name}: not fully typed"
            functions[node.name] = arguments
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is None:
            attributes.add(node.target.id)
    return functions, attributes


# A class of a binding: its name, and what is defined of it.
CLASS = re.compile(r'py::class_<\w+>\(\w+, "(\w+)",(.*?)\);\n', re.DOTALL)


def stub_classes(module: str) -> dict[str, dict[str, Arguments]]:
    """The classes of a stub: their methods, with the arguments besides self."""
    tree = ast.parse((ROOT / "rad_fast" / f"{module}.pyi").read_text(encoding="utf-8"))
    classes: dict[str, dict[str, Arguments]] = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        methods = classes[node.name] = {}
        for method in node.body:
            if isinstance(method, ast.FunctionDef):
                arguments = Arguments({each.arg: typed(each.annotation) for each in method.args.args[1:]})
                arguments.returns = typed(method.returns)
                assert "" not in [*arguments.values(), arguments.returns], f"{method.name}: not fully typed"
                methods[method.name] = arguments
    return classes


def methods_bound(definition: str) -> dict[str, list[str]]:
    """Name and arguments of every method of a class in a binding's source."""
    methods = {}
    for part in re.split(r"\.def\(", definition)[1:]:
        name = re.match(r'\s*"(\w+)"', part)
        arguments = re.findall(r'"(\w+)"_a|py::arg\("(\w+)"\)', part)
        methods["__init__" if name is None else name[1]] = [one or other for one, other in arguments]
    return methods


def typed(annotation: ast.expr | None) -> str:
    return "" if annotation is None else ast.unparse(annotation)


def inner(annotation: str) -> str:
    return annotation.replace("Float64s", "NDArray[float64]").replace("np.", "").replace("npt.", "")


def bindings(source: str) -> list[tuple[str, list[str], str]]:
    """Name and arguments of every module.def in a binding's source, up to the next one."""
    found = []
    for part in re.split(r"module\.def\(", source)[1:]:
        part = part.split("module.attr(")[0]
        name = re.match(r'\s*"(\w+)"', part)
        assert name is not None
        arguments = re.findall(r'"(\w+)"_a|py::arg\("(\w+)"\)', part)
        found.append((name[1], [one or other for one, other in arguments], part))
    return found


def described_in_source(module: str, name: str) -> str:
    """The string below an assignment: the docstring of what is no function and no class."""
    value: Any = getattr(importlib.import_module(module), name)
    for path in Path(str(importlib.import_module(module).__file__)).parent.rglob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node, below in zip(body, body[1:], strict=False):  # noqa: RUF007
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            if name in [getattr(target, "id", "") for target in targets] and isinstance(below, ast.Expr):
                assert isinstance(value, dict)
                missing = [key for key in value if f"`{key}`" not in ast.unparse(below.value)]
                assert not missing, f"{name} does not describe {missing}"
                return inspect.cleandoc(ast.literal_eval(below.value))
    return ""
