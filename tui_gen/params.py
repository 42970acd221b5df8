"""Hyperparameters as plain data: declared once on a typed struct, read everywhere.

A model (or one of the fixed config tables) declares each value with its type, default and `hyper(...)`:

    class Config(msgspec.Struct):
        latent: Annotated[int, hyper("Size of the code z", ge=1, le=1024)] = 20

`describe` turns that into `Param` records, which are what the catalogue, the form, `--set`, the TOML reader and the
documentation work with. None of them needs PyTorch, or the class itself.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from tui_gen import toml
from tui_gen.text import clean, escape

KINDS = ("int", "float", "bool", "str", "choice", "list")


class Param(msgspec.Struct, frozen=True, omit_defaults=True):
    """One hyperparameter: its type, bounds and words for people.

    `kind` is one of KINDS; `item` is the kind of a list's elements; `optional` values may be empty (`None`).
    `live` ones may be edited while a run trains. `run` is not empty where the value names another run (or a recipe):
    what that run's model must be able to do. `when` is the setting of the same table, or by a dotted key of any, that
    must be on (`replay`), or the values that it must have (`network=mlp|recurrent`, some only on data of a kind, as
    `auto:image`): else this one does nothing. `rare` ones are for those who ask.
    """

    name: str
    kind: str
    default: Any = None
    help: str = ""
    unit: str = ""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: list[Any] = []
    item: str = ""
    min_items: int = 0
    max_items: int = 16
    optional: bool = False
    live: bool = False
    run: list[str] = []
    when: str = ""
    rare: bool = False

    def allowed(self) -> str:
        """What may be written here, in words: `a whole number, 1 ≤ x ≤ 1024`."""
        if self.kind == "choice":
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.run:
            return f"a run or a recipe whose model can {' and '.join(self.run)}"
        names = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
        if self.kind == "list":
            words = f"a list of {self.min_items} to {self.max_items} values, each {names.get(self.item, self.item)}"
        else:
            words = names[self.kind]
        low = f"{_short(self.ge)} ≤ " if self.ge is not None else f"{_short(self.gt)} < " if self.gt is not None else ""
        high = (
            f" ≤ {_short(self.le)}" if self.le is not None else f" < {_short(self.lt)}" if self.lt is not None else ""
        )
        if low or high:
            words += f", {low}x{high}"
        return words + (", or empty" if self.optional else "")


def met(when: str, values: Callable[[str], Any]) -> bool:
    """Whether a condition (`network=conv|recurrent`, or `sparsity`: it is on) holds of settings, each asked by name."""
    name, _, choices = when.partition("=")
    if not name:
        return True
    value = values(name)
    return str(value) in choices.split("|") if choices else value not in (None, "", "none", 0, False)


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a config: where (`train.batch_size`), the value, and what to do instead."""

    key: str
    value: Any
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"[{show(self.value)}]" if isinstance(self.value, list | tuple) else show(self.value) or '""'
        assignment = "" if self.value is None else f" = {_short_of(text)}"
        return f"{_short_of(self.key)}{assignment}: {self.message}" + (f" ({self.hint})" if self.hint else "")


def _short_of(text: str, most: int = 160) -> str:
    """Text from a file or a command line so that it can stand in a message, which shows what does not print in it."""
    return clean(text if len(text) <= most else text[: most - 1] + "…", escaped=True)


def hyper(
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    unit: str = "",
    live: bool = False,
    min_items: int = 0,
    max_items: int = 16,
    run: tuple[str, ...] = (),
) -> msgspec.Meta:
    """Declare a hyperparameter: goes inside `Annotated[type, hyper(...)]`.

    Bounds apply to the number, or to each element of a list: ≥ `ge`, > `gt`, ≤ `le`, < `lt`, in `unit`. A list has
    `min_items` to `max_items` of them. `live` values may be edited while the run trains. A text with `run` names
    another run, or a recipe to train first; `run` lists what its model must be able to do (`encode`, `decode`,
    `sample`…). See `tui_gen.model.Model`.
    """
    extra: dict[str, Any] = {"ge": ge, "gt": gt, "le": le, "lt": lt, "unit": unit, "live": live, "run": list(run)}
    extra |= {"min_items": min_items, "max_items": max_items}
    return msgspec.Meta(description=help, extra=extra)


def describe(struct: type[msgspec.Struct]) -> list[Param]:
    """The `Param` of every field of a struct class that is a plain value; nested structs are left out.

    The class, and those it inherits from, may say more of its fields: `RARE` are names, `WHEN` are conditions by name,
    of fields of the same class, or of any setting by its dotted key.
    """
    return list(_described(struct))


@functools.cache
def _described(struct: type[msgspec.Struct]) -> list[Param]:
    owners = [vars(owner) for owner in reversed(struct.__mro__)]
    rare = {name for owner in owners for name in owner.get("RARE", ())}
    when = {name: words for owner in owners for name, words in owner.get("WHEN", {}).items()}
    hints = get_type_hints(struct, include_extras=True)
    needed = {words.partition("=")[0] for words in when.values()}
    unknown = sorted(({*rare, *when} | {name for name in needed if "." not in name}) - set(hints))
    if unknown:
        raise ValueError(f"RARE or WHEN of {struct.__qualname__} names {', '.join(unknown)}, which is no field of it")
    defaults = {field.name: field for field in msgspec.structs.fields(struct)}
    params = []
    for name, field in defaults.items():
        param = _describe_field(name, hints[name], field)
        if param is not None:
            more = {"rare": True} if name in rare else {}
            params.append(msgspec.structs.replace(param, when=when.get(name, ""), **more))
    return sorted(params, key=lambda param: not param.run)  # what all else is built on comes first


def _describe_field(name: str, hint: Any, field: Any) -> Param | None:
    meta: dict[str, Any] = {}
    text, optional = "", False
    while True:
        if get_origin(hint) is Annotated:
            hint, *metas = get_args(hint)
            for part in metas:
                if isinstance(part, msgspec.Meta):
                    text = part.description or text
                    bounds = {key: getattr(part, key) for key in ("ge", "gt", "le", "lt")}
                    meta |= {key: bound for key, bound in bounds.items() if bound is not None} | (part.extra or {})
        elif get_origin(hint) in (Union, UnionType):
            members = [member for member in get_args(hint) if member is not type(None)]
            optional = optional or len(members) < len(get_args(hint))
            hint = float if float in members else members[0]
        else:
            break
    kind, item, choices = "", "", []
    origin = get_origin(hint)
    if origin is Literal:
        kind, choices = "choice", list(get_args(hint))
    elif origin in (list, tuple):
        kind, item = "list", _KIND_OF.get(get_args(hint)[0], "str")
    elif hint in _KIND_OF:
        kind = _KIND_OF[hint]
    else:
        return None
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    else:
        default = None if field.default is msgspec.NODEFAULT else field.default
    return Param(
        name=name, kind=kind, default=default, help=text, item=item, choices=choices, optional=optional, **meta
    )


_KIND_OF: dict[Any, str] = {int: "int", float: "float", bool: "bool", str: "str"}


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint that names the closest valid spelling: `did you mean 'batch_size'?`, or an empty string."""
    close = difflib.get_close_matches(show(name)[:100], [str(word) for word in names], n=1, cutoff=0.55)
    return f"did you mean {close[0]!r}?" if close else ""


def meant(key: str, full_keys: Sequence[str], others: Iterable[str] = ()) -> str:
    """A hint at the keys that may have been meant: those that end as it does before those, or `others`, that look like
    it."""
    table, _, name = key.rpartition(".")
    endings = [full_key for full_key in full_keys if full_key.endswith(f".{name}")]
    if table and (close := nearest(key, endings)):
        return close
    return f"did you mean {' or '.join(endings)}?" if endings else nearest(key, [*full_keys, *others])


def check(
    params: list[Param], table: Any, path: str, also: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[Problem]]:
    """Check a TOML table against its declarations.

    Returns the complete values (defaults filled in, whole floats accepted where whole numbers are meant) and every
    problem found, never just the first. Keys in `also` are allowed and passed over.
    """
    values = {param.name: _copy(param.default) for param in params}
    if not isinstance(table, dict):
        return values, [Problem(path, table, "must be a table", f"write it as [{path}]")]
    by_name = {param.name: param for param in params}
    problems = []
    for key, value in table.items():
        where = f"{path}.{key}" if path else key
        if key in also:
            continue
        if key not in by_name:
            hint = nearest(key, [*by_name, *also]) or f"known here: {', '.join(sorted([*by_name, *also]))}"
            problems.append(Problem(where, value, "no such setting", hint))
            continue
        clean, message = check_value(by_name[key], value)
        if message:
            hint = nearest(value, by_name[key].choices) if by_name[key].kind == "choice" else ""
            problems.append(Problem(where, value, message, hint))
        else:
            values[key] = clean
    return values, problems


def check_value(param: Param, value: Any) -> tuple[Any, str]:
    """One value against its declaration: the value as it should be kept, and what is wrong (or an empty string)."""
    if value is None or (isinstance(value, str) and value == "" and param.optional):
        return (None, "") if param.optional else (value, f"needs {param.allowed()}")
    if param.kind == "list":
        if not isinstance(value, list | tuple):
            return value, f"needs {param.allowed()}"
        if not param.min_items <= len(value) <= param.max_items:
            return value, f"has {len(value)} values; needs {param.allowed()}"
        clean = []
        for element in value:
            item, wrong = _check_scalar(param, param.item, element)
            if wrong:
                return value, _UNWRITABLE if _unwritable(element) else f"needs {param.allowed()}"
            clean.append(item)
        return clean, ""
    if param.kind == "choice":
        for choice in param.choices:
            if isinstance(choice, bool) == isinstance(value, bool) and choice == value:
                return choice, ""
        return value, f"needs {param.allowed()}"
    clean, wrong = _check_scalar(param, param.kind, value)
    if wrong:
        return value, _UNWRITABLE if param.kind == "str" and _unwritable(value) else f"needs {param.allowed()}"
    return clean, ""


_UNWRITABLE = "has characters that no file can hold: bytes that are not UTF-8, or NUL"
_LARGEST_INT = 2**63


def _unwritable(value: Any) -> bool:
    """Whether text cannot be written to a TOML file, or named to the system."""
    return isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value))


def _check_scalar(param: Param, kind: str, value: Any) -> tuple[Any, bool]:
    if kind == "str":
        return value, not isinstance(value, str) or _unwritable(value) or (bool(param.run) and not value.strip())
    if kind == "bool":
        return value, not isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value, True
    if isinstance(value, float) and not math.isfinite(value):
        return value, True
    if kind == "int":
        if value != int(value) or abs(value) >= _LARGEST_INT:  # more is neither TOML nor an integer to PyTorch
            return value, True
        value = int(value)
    else:
        try:
            value = float(value)
        except OverflowError:
            return value, True
    below = (param.ge is not None and value < param.ge) or (param.gt is not None and value <= param.gt)
    above = (param.le is not None and value > param.le) or (param.lt is not None and value >= param.lt)
    return value, below or above


def parse(param: Param, text: str) -> Any:
    """What a person typed into a field or after `--set key=`, as a value of the parameter's kind.

    Unreadable text comes back unchanged, for `check_value` to refuse with the right words.
    """
    text = text.strip()
    if text == "" and param.optional:
        return None
    if param.kind == "list":
        return _parse_texts(text) if param.item == "str" else _parse_items(param.item, text)
    if param.kind == "choice":
        bare = _unquoted(text)
        return next((choice for choice in param.choices if show(choice) in (text, bare)), text)
    return _parse_scalar(param.kind, text)


def _parse_items(kind: str, text: str) -> list[Any]:
    return [_parse_scalar(kind, part) for part in text.strip("[]() ").replace(",", " ").split()]


def _parse_texts(text: str) -> list[str]:
    """`one, two words` or, as in TOML, `["one", "two, three"]`; the brackets may be left out."""
    inner = text[1:-1] if text[:1] + text[-1:] == "[]" else text
    value = _toml_value(f"[{inner}]")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return [_unquoted(part.strip()) for part in inner.split(",") if part.strip()]


def _toml_value(text: str) -> Any:
    """What TOML makes of text, or None where that is not one value."""
    try:
        tables = toml.loads(f"x = {text}")
    except (ValueError, RecursionError):
        return None
    return tables["x"] if len(tables) == 1 else None


def _unquoted(text: str) -> str:
    """Text without the quotes around it, read as TOML reads it."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        return text
    value = _toml_value(text)
    if isinstance(value, str):
        return value
    return text if text[0] in text[1:-1] else text[1:-1]


def _parse_scalar(kind: str, text: str) -> Any:
    if kind == "str":
        return _unquoted(text)
    if kind == "bool":
        return {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }.get(text.lower(), text)
    if kind in ("int", "float"):
        try:
            return int(text.replace("_", ""))
        except ValueError:
            pass
        try:
            return float(text.replace("_", ""))
        except ValueError:
            return text
    return text


def quote(text: str) -> str:
    """Text as a TOML basic string that prints."""
    return escape(json.dumps(text, ensure_ascii=False), wide="U")


def show(value: Any) -> str:
    """A value as a person reads and types it: `2e-4`, `400, 200`, `on`.

    `parse` reads it back, to the last digit; text that begins and ends with blanks or quotes loses those.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        texts = [text for text in value if isinstance(text, str)]
        odd = any(text != text.strip() or not text or set(text) & set(",'\"[]") for text in texts)
        if len(texts) == len(value) and odd:
            return ", ".join(quote(text) for text in texts)
        return ", ".join(show(item) for item in value)
    try:
        return str(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, tables a thousand deep
        return f"({type(value).__name__} too large to show)"


def _short(value: float | None) -> str:
    """The shortest decimal that reads back as the same number."""
    if value is None:
        return ""
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e10:
        sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        rest = "".join(str(digit) for digit in digits[1:])
        mantissa = f"{'-' * sign}{digits[0]}{'.' * bool(rest)}{rest}"
        return f"{mantissa}e{int(exponent) + len(rest)}"
    return repr(float(value)).removesuffix(".0")


def _copy(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
