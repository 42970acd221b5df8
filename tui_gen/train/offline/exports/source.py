"""A function of a model as Python that needs PyTorch and nothing else: one call of an operator a line, with the weights
looked up by name. It computes what the model does, for any size of batch; it is not what one would write to train it.
"""

from __future__ import annotations

import ast
import builtins
import operator
import re
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from tui_gen.model import Function
from tui_gen.train.offline.exports.words import ExportError

KNOWN = {"torch", "operator", "math", "inf", "nan", "_device", "weights"}
"""What a line may name besides its own values."""


def source_of(program: ExportedProgram, function: Function, constants: dict[str, Tensor]) -> str:
    """The text of a function `NAME(weights, …)`. Tensors that are no weights of the model (tables, numbers) are put
    into `constants` under the names by which it looks them up. Raises ExportError where it needs more than PyTorch.
    """
    module = program.module()
    assert isinstance(module, fx.GraphModule)
    graph = _with_weights(module, function, constants)
    code = graph.python_code("").src
    body = code[code.index("def forward(") :].partition("\n")[2]
    arguments = ", ".join(["weights", *function.inputs])
    lines = [f"def {function.name}({arguments}):", f'    """{_described(function)}"""']
    lines += [without_farewell(line) for line in body.splitlines() if line.strip()]
    text = "\n".join(lines).replace("device(type='cpu')", "_device(weights)")
    names = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(function.inputs)
    if strange := {node.id for node in names} - own - KNOWN - set(dir(builtins)):
        raise ExportError(f"it needs {', '.join(sorted(strange))}")
    return text


def without_farewell(line: str) -> str:
    """A line that does not forget the weights: the graph lets go of each value after its last use, but does not know
    of what looks up a device.
    """
    code, mark, farewell = line.rstrip().partition(";  ")
    others = [name for name in farewell.split(" = ") if name not in ("weights", "None", "")]
    return code + (mark + " = ".join([*others, "None"]) if others else "")


def _described(function: Function) -> str:
    """Inputs and outputs in a line."""
    parts = []
    for name, like in function.inputs.items():
        shape = ", ".join(map(str, ("N", *like.shape))) + ("," if not like.shape else "")
        parts.append(f"{name} ({shape})" + (f" int64 below {like.below}" if like.below else ""))
    words = f"{', '.join(parts)} → {', '.join(function.outputs)}: {function.help or function.name}"
    return words.replace("\\", "").replace('"""', "")


def _with_weights(module: fx.GraphModule, function: Function, constants: dict[str, Tensor]) -> fx.Graph:
    """The graph with its weights taken from its first argument, and without what only checks."""
    graph = module.graph
    _open_up(module)
    for node in list(graph.nodes):
        checks = node.op == "call_module" or "assert" in str(node.target)
        if checks and not node.users:
            graph.erase_node(node)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(next(iter(graph.nodes))):
        weights = graph.placeholder("weights")
    for node in list(graph.nodes):
        if node.op != "get_attr":
            continue
        value: Any = operator.attrgetter(node.target)(module)
        if not isinstance(value, Tensor):
            raise ExportError(f"it has a part of its own, {node.target}")
        name = node.target.removeprefix("model.")
        if not node.target.startswith("model."):
            name = f"constants.{function.name}.{node.target}"
        constants.setdefault(name, value.detach())
        with graph.inserting_before(node):
            place = graph.create_node("call_function", operator.getitem, (weights, name), name=name.replace(".", "_"))
        node.replace_all_uses_with(place)
        graph.erase_node(node)
    for node, name in zip(inputs, function.inputs, strict=True):
        node.target = node.name = name
    end = next(node for node in graph.nodes if node.op == "output")
    if len(function.outputs) == 1:
        outputs: Any = end.args[0]
        end.args = (outputs[0],)
    graph.set_codegen(fx.graph.CodeGen())
    graph.lint()
    return graph


def _open_up(module: fx.GraphModule) -> None:
    """Put what runs with gradients or autocasting switched off where it is called: without either it is the same."""
    graph = module.graph
    places = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
    while node := next((node for node in graph.nodes if str(node.target) in places), None):
        first = places[str(node.target)]
        if first == 4 and node.args[2]:
            raise ExportError("it computes in another precision")
        part: Any = operator.attrgetter(node.args[first].target)(module)
        inside = [inner for inner in part.graph.nodes if inner.op == "placeholder"]
        values: dict[fx.Node, Any] = dict(zip(inside, node.args[first + 1 :], strict=True))
        for inner in part.graph.nodes:  # its own tables, under names that this graph has not
            if inner.op == "get_attr":
                name = f"{str(node.args[first].target).replace('.', '_')}_{inner.target.replace('.', '_')}"
                setattr(module, name, operator.attrgetter(inner.target)(part))
                inner.target = name
        with graph.inserting_before(node):
            copy: Any = graph.graph_copy(part.graph, values)
        for user in list(node.users):  # each takes one of its results by number
            if user.target is operator.getitem:
                user.replace_all_uses_with(copy[user.args[1]])
                graph.erase_node(user)
        box = node.args[first]
        graph.erase_node(node)
        if not box.users:
            graph.erase_node(box)


def snippet(name: str, about: dict[str, Any], functions: dict[str, str], refused: dict[str, str]) -> str:
    """The text of a file beside the weights in `name`: functions by their sources, and why others are not there."""
    shapes = {key: about["functions"][key] for key in functions}
    title = f"{about['model']} on {about['dataset']} after {about['step']:,} steps, {about['weights']} weights"
    usage = "\n".join(f"    {', '.join(shapes[key]['outputs'])} = {key}(weights, {', '.join(shapes[key]['inputs'])})"
                      for key in functions)  # fmt: skip
    why = "".join(f"\n`{key}` is not here: {reason}\n" for key, reason in refused.items())
    code = "\n\n\n".join(functions.values())
    imports = "".join(f"import {name}\n" for name in ("math", "operator") if f"{name}." in code)
    imports += f"from math import {', '.join(there)}\n" if (there := used(code, "inf", "nan")) else ""
    head = f'''"""{title}; exported by tui-gen, which is not needed here: PyTorch and safetensors are.

    weights = load()            # name → tensor, for any network that has these names
{usage}

Each function computes what the model does, an operator a line (written by PyTorch {torch.__version__}), on the device
that the weights are on. Run this file to see shapes.
{why}"""

{imports}from pathlib import Path

import torch
from safetensors.torch import load_file

WEIGHTS = Path(__file__).with_name({name!r})
ABOUT = {_literal(about)}


def load(path=WEIGHTS, device="cpu"):
    """The weights by name."""
    return load_file(path, device=device)


def _device(weights):
    return next(iter(weights.values())).device

'''
    tail = '''

if __name__ == "__main__":
    weights = load()
    for name, tensor in weights.items():
        print(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
    for name, function in ABOUT["functions"].items():
        inputs = [
            torch.randint(like["below"], (2, *like["shape"])) if like["below"] else torch.randn(2, *like["shape"])
            for like in function["inputs"].values()
        ]
        with torch.no_grad():
            made = globals()[name](weights, *inputs)
        made = made if isinstance(made, tuple) else (made,)
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in zip(function["outputs"], made))
        print(f"{name}: {', '.join(function['inputs'])} -> {shapes}")
'''
    return head + (f"\n{code}\n" if code else "") + tail


def used(code: str, *names: str) -> list[str]:
    """Those of some names that are in a text of Python."""
    return [name for name in names if re.search(rf"\b{name}\b", code)]


def _literal(value: Any, depth: int = 0) -> str:
    """Plain data as Python, a key a line at the top."""
    if depth == 0:
        return "{\n" + "".join(f"    {key!r}: {part!r},\n" for key, part in value.items()) + "}"
    return repr(value)
