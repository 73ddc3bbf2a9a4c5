"""What each instruction of a pickle does to stack and memo."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlship.scan.arguments import OPAQUE, Opaque, Stop
from mlship.scan.values import COMPUTED, MARK, METHOD_NAMES, WIDEST, Made, of_sklearn

if TYPE_CHECKING:
    from mlship.scan.machine import Machine

#: Attributes by which numpy takes foreign memory for an array.
_PROTOCOL = re.compile(r"__(array|cuda_array|dlpack)\w*__")
#: Characters of text that one stream may put on the stack.
_MOST_TEXT = 1 << 28

#: What one does, given its argument.
Act = Callable[["Machine", Any], None]


def _push_argument(machine: Machine, argument: Any) -> None:
    if isinstance(argument, str):
        if _PROTOCOL.search(argument):  # numpy reads and writes the memory that such an attribute points at
            machine.reached.faults.add(f"it uses {argument[:60]}")
        machine.text += len(argument)
        if machine.text > _MOST_TEXT:
            machine.reached.faults.add(f"it holds more than {_MOST_TEXT:,} characters of text")
            raise Stop("it holds too much text")
    machine.push(argument)


def _push(value: Any) -> Act:
    return lambda machine, _argument: machine.push(value)


def _get(machine: Machine, argument: Any) -> None:
    if int(argument) not in machine.memo:
        raise Stop("it reads from the memo what it never put there")
    machine.push(machine.memo[int(argument)])


def _put(machine: Machine, argument: Any) -> None:
    machine.memo[len(machine.memo) if argument is None else int(argument)] = machine.peek()


def _tuple(count: int) -> Act:
    def act(machine: Machine, _argument: Any) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(items)))

    return act


def _tuple_to_mark(machine: Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    machine.push(tuple(items) if len(items) <= WIDEST else OPAQUE)


def _collection_to_mark(machine: Machine, _argument: Any) -> None:
    machine.pop_mark()
    machine.push(OPAQUE)


def _list_to_mark(machine: Machine, _argument: Any) -> None:
    kept: list[Any] = []
    _extend(kept, machine.pop_mark())
    machine.push(kept)


def _extend(target: Any, items: list[Any]) -> None:
    """Keep a short list; what is left out of a longer one stands as one value that cannot be told."""
    if isinstance(target, list) and len(target) <= WIDEST:
        target.extend(items[: WIDEST - len(target)])
        if len(items) > WIDEST or len(target) >= WIDEST:
            target.append(OPAQUE)


def _dict_to_mark(machine: Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    machine.push({})
    _fill(machine.stack[-1], items)


def _set(machine: Machine, target: Any, items: list[Any]) -> None:
    """Entries of a dictionary, of a list, or of what only looks like one."""
    if isinstance(target, list):
        _extend(target, items[1::2])
    elif any(isinstance(key, (Made, Opaque)) for key in items[::2]) and of_sklearn(target):
        machine.reached.faults.add("it sets an attribute whose name is computed")  # a Bunch gives entries as attributes
    _fill(target, items)


def _fill(target: Any, items: list[Any]) -> None:
    """Keep the entries of a small dictionary with names for keys: the states that matter look like that."""
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=False):
            if isinstance(key, str) and (len(target) < 2 * WIDEST or key in METHOD_NAMES):
                target[key] = value
            elif isinstance(key, (Made, Opaque)):
                target[COMPUTED] = True


def _set_item(machine: Machine, _argument: Any) -> None:
    value, key = machine.pop(), machine.pop()
    target = machine.peek()
    machine.change(target)
    _set(machine, target, [key, value])


def _set_items(machine: Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    target = machine.peek()
    machine.change(target)
    _set(machine, target, items)


def _append(machine: Machine, _argument: Any) -> None:
    value = machine.pop()
    machine.change(machine.peek())
    _extend(machine.peek(), [value])


def _append_to_mark(machine: Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    machine.change(machine.peek())
    _extend(machine.peek(), items)


def _pop(machine: Machine, _argument: Any) -> None:
    if not machine.stack:
        raise Stop("it drops a value that is not there")
    machine.stack.pop()


def _dup(machine: Machine, _argument: Any) -> None:
    value = machine.pop()
    machine.push(value)
    machine.push(value)


def _global(machine: Machine, argument: Any) -> None:
    machine.look_up(*argument)


def _stack_global(machine: Machine, _argument: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.look_up(module, name)


def _reduce(machine: Machine, _argument: Any) -> None:
    arguments, called = machine.pop(), machine.pop(to_call=True)
    machine.call(called, arguments)


def _inst(machine: Machine, argument: Any) -> None:
    arguments = machine.pop_mark()
    _global(machine, argument)
    machine.call(machine.pop(to_call=True), tuple(arguments))


def _obj(machine: Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    if not items:
        raise Stop("it makes an object of nothing")
    machine.call(items[0], tuple(items[1:]))


def _new_obj(machine: Machine, _argument: Any) -> None:
    arguments, called = machine.pop(), machine.pop(to_call=True)
    machine.call(called, arguments, made=True)


def _new_obj_ex(machine: Machine, _argument: Any) -> None:
    machine.pop()
    _new_obj(machine, None)


def _build(machine: Machine, _argument: Any) -> None:
    machine.build(machine.pop())


def _persistent(machine: Machine, argument: Any) -> None:
    """A reference to something kept elsewhere (PyTorch's numbers); readers without such a place refuse it."""
    if argument is not None:
        raise Stop("it refers to something by name")  # as every zip archive seems to, read as a pickle
    machine.pop()
    machine.push(OPAQUE)


def _stop(machine: Machine, _argument: Any) -> None:
    machine.top = machine.pop()
    machine.check_methods()
    raise Stop


def _ignore(_machine: Machine, _argument: Any) -> None:
    return


def _mark(machine: Machine, _argument: Any) -> None:
    machine.push(MARK)


def _pop_mark(machine: Machine, _argument: Any) -> None:
    machine.pop_mark()


_VALUES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 "
    "BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT"
)
#: By the name of the instruction.
ACTS: dict[str, Act] = (
    dict.fromkeys(_VALUES.split(), _push_argument)
    | {"NONE": _push(None), "NEWTRUE": _push(True), "NEWFALSE": _push(False)}
    | {"EMPTY_LIST": lambda machine, _argument: machine.push([]), "EMPTY_SET": _push(OPAQUE), "EMPTY_TUPLE": _push(())}
    | {"EMPTY_DICT": lambda machine, _argument: machine.push({})}
    | {"LIST": _list_to_mark, "FROZENSET": _collection_to_mark, "DICT": _dict_to_mark}
    | {"TUPLE": _tuple_to_mark, "TUPLE1": _tuple(1), "TUPLE2": _tuple(2), "TUPLE3": _tuple(3)}
    | {"APPEND": _append, "APPENDS": _append_to_mark, "ADDITEMS": _append_to_mark}
    | {"SETITEM": _set_item, "SETITEMS": _set_items}
    | {"POP": _pop, "POP_MARK": _pop_mark, "DUP": _dup, "MARK": _mark, "STOP": _stop}
    | dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], _get)
    | dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"], _put)
    | {"GLOBAL": _global, "STACK_GLOBAL": _stack_global, "INST": _inst, "OBJ": _obj, "BUILD": _build}
    | {"REDUCE": _reduce, "NEWOBJ": _new_obj, "NEWOBJ_EX": _new_obj_ex}
    | {"PERSID": _persistent, "BINPERSID": _persistent, "PROTO": _ignore, "FRAME": _ignore}
    | {"READONLY_BUFFER": _ignore}
)
