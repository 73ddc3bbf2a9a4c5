"""What a pickle would reach, by following its instructions with placeholders for values: nothing is built or called.

Looking for names near each other in the byte stream is not enough: a stream may memoize, duplicate and drop strings so
that the names which count are not the ones that stand before the instruction. So the stack and the memo are followed
exactly, and whatever cannot be followed is a finding.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from mlship.scan.arguments import OPAQUE, READERS, Opaque, Stop
from mlship.scan.called import only_named

#: Instructions in one stream; a model of more is a matter for a format that is no program.
MOST_STEPS = 50_000_000
#: Attributes by which numpy takes foreign memory for an array.
_PROTOCOL = re.compile(r"__(array|cuda_array|dlpack)\w*__")
#: Attributes of estimators that name a method to be called on another object, and the methods that may be.
METHOD_NAMES = ("stack_method_", "response_method")
METHODS = {"predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples", "auto"}
_DICTIONARIES = ("dict", "OrderedDict", "defaultdict", "Counter", "Bunch")
_SIZES = re.compile(r"[<>|=]?([biufcSUVMmO])([0-9]+)")
#: Characters of text that one stream may put on the stack.
_MOST_TEXT = 1 << 28
_WIDEST = 64
#: The number that PyTorch's old format begins with; five pickles and then raw numbers follow.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(slots=True)
class Reached:
    """What a stream would reach."""

    names: set[tuple[str, str]] = field(default_factory=set)
    """(module, name) of everything that it looks up."""
    faults: set[str] = field(default_factory=set)
    """What no honest writer does."""
    broken: str = ""
    """Where and why it cannot be followed further, though a reader may have done something by then."""
    calls: bool = False
    """Whether it calls or changes anything that it has looked up."""
    joblib: bool = False
    """Whether it is written for joblib: read by `pickle` it would be something else, which nobody has looked at."""
    streams: int = 0
    """Complete pickles, one after another."""
    steps: int = 0
    """Instructions followed so far, of all streams."""

    @property
    def active(self) -> bool:
        """Whether it would do more than make plain values."""
        return bool(self.names) or self.calls


@dataclass(frozen=True, slots=True)
class _Name:
    module: str
    name: str


@dataclass(slots=True)
class _Made:
    """The result of calling `by`."""

    by: _Name | None
    arguments: tuple[Any, ...] = ()
    state: Any = None


_MARK = object()
_COMPUTED = object()
#: What joblib writes instead of an array; the array's bytes follow the instruction that sets its state.
_ARRAY = _Name("joblib.numpy_pickle", "NumpyArrayWrapper")
#: Calls whose result is an instance of their first argument.
_MAKERS = {_Name("copyreg", name) for name in ("_reconstructor", "__newobj__", "__newobj_ex__")}


def follow(file: IO[bytes]) -> Reached:
    """Everything that the pickles in a file reach, read one after another from where it stands to its end.

    joblib keeps arrays between the instructions: such a file is read as joblib reads it. A file that is no pickle, and
    would do nothing before a reader noticed, reaches nothing, and `streams` is zero.
    """
    start = file.tell()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser, about escapes in what was never meant as text
        plain = _streams(file, skip_arrays=False)
        if (_ARRAY.module, _ARRAY.name) not in plain.names:
            return plain
        file.seek(start)
        joblib = _streams(file, skip_arrays=True)
    joblib.joblib = True
    return joblib


def _streams(file: IO[bytes], *, skip_arrays: bool) -> Reached:
    reached = Reached()
    raw_follows = False
    while True:
        at = file.tell()
        if not file.read(1):
            return reached
        file.seek(at)
        machine = _Machine(file, reached, skip_arrays=skip_arrays)
        before = (len(reached.names), reached.calls)
        try:
            machine.run()
        except Stop as stop:
            if not stop.why:
                reached.streams += 1
                if not skip_arrays and (_ARRAY.module, _ARRAY.name) in reached.names:
                    return reached  # an object array of joblib ends here for `pickle`, which reads no further
                raw_follows = raw_follows or (reached.streams == 1 and machine.top == _TORCH_MAGIC)
                continue
            did_something = (len(reached.names), reached.calls) != before
            if raw_follows and reached.streams >= 5 and not did_something:
                return reached
            if reached.streams or did_something:
                reached.broken = f"its pickle breaks off at byte {at + machine.read:,}: {stop.why}"
            return reached


class _Machine:
    """The stack and the memo of one stream."""

    def __init__(self, file: IO[bytes], reached: Reached, *, skip_arrays: bool) -> None:
        self.file = file
        self.reached = reached
        self.skip_arrays = skip_arrays
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.start = file.tell()
        self.top: Any = None
        self.text = 0
        self.methods: list[list[Any]] = []
        """Lists of names of methods, which must hold nothing else when all is read."""

    @property
    def read(self) -> int:
        """Bytes read so far."""
        return self.file.tell() - self.start

    def run(self) -> None:
        """Follow the stream; always raises ``Stop``."""
        while True:
            code = self.file.read(1)
            if not code:
                raise Stop("it has no end")
            self.reached.steps += 1
            if self.reached.steps > MOST_STEPS:  # a reader would go on, whatever has been seen so far
                self.reached.faults.add(f"it has more than {MOST_STEPS:,} instructions")
                raise Stop(f"it has more than {MOST_STEPS:,} instructions")
            name, read = READERS.get(code, ("", None))
            act = _ACTS.get(name)
            if act is None:
                raise Stop(f"the instruction {name or code!r} is not one that models need")
            act(self, read(self.file) if read else None)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, *, to_call: bool = False) -> Any:
        value = self.peek()
        self.stack.pop()
        self._check([] if to_call else [value])
        return value

    def peek(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise Stop("it takes a value that is not there")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        for depth, value in enumerate(reversed(self.stack)):
            if value is _MARK:
                items = self.stack[len(self.stack) - depth :]
                del self.stack[len(self.stack) - depth - 1 :]
                self._check(items)
                return items
        raise Stop("it takes values down to a mark that is not there")

    def _check(self, items: list[Any]) -> None:
        """An array of joblib must be seen being made, or the bytes after it would be taken for instructions."""
        if _ARRAY in items:
            self.reached.faults.add("it uses joblib's arrays as joblib never does")

    def look_up(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            self.reached.calls = True
            self.reached.faults.add("it looks up a name that is computed")
            self.push(OPAQUE)
            return
        if not module or not name or not f"{module}{name}".isprintable() or " " in module + name:
            raise Stop(f"{module!r} {name!r} is no name")  # a reader fails here too: there is no such module
        self.reached.names.add((module, name))
        self.push(_Name(module, name))

    def call(self, called: Any, arguments: Any, *, made: bool = False) -> None:
        self.reached.calls = True
        if isinstance(called, _Name):
            if not made and only_named(called.module, called.name):
                self.reached.faults.add(f"it calls {called.module}.{called.name}, which models only name")
            kept = arguments if isinstance(arguments, tuple) and len(arguments) <= _WIDEST else ()
            if called in _MAKERS:
                base = kept[1] if len(kept) > 1 and called.name == "_reconstructor" else None
                if not kept or not isinstance(kept[0], _Name):
                    self.reached.faults.add("it makes an instance of what it has computed")
                elif base is not None and not (isinstance(base, _Name) and base.module in ("builtins", "__builtin__")):
                    self.reached.faults.add("it makes an instance by a constructor of its own")
                else:
                    called = kept[0]
            elif called.module == "types" and not made and kept != ():
                self.reached.faults.add(f"it calls {called.module}.{called.name} with values")
            self.push(_Made(called, kept))
            return
        by = called.by if isinstance(called, _Made) else None
        if by is None or by.module.split(".")[0] not in ("cloudpickle", "dill"):  # those are findings of their own
            self.reached.faults.add("it calls what it has computed")
        self.push(_Made(by))

    def change(self, changed: Any) -> None:
        if isinstance(changed, _Name):
            self.reached.calls = True
            self.reached.faults.add(f"it changes {changed.module}.{changed.name} itself")

    def build(self, state: Any) -> None:
        made = self.peek()
        self.reached.calls = True
        self.change(made)
        if not isinstance(made, _Made):
            return
        made.state = state
        self._check_state(made, state)
        if self.skip_arrays and made.by == _ARRAY:
            self._skip_array(state if isinstance(state, dict) else {})
            self.stack[-1] = OPAQUE

    def _check_state(self, made: _Made, state: Any) -> None:
        """Attributes whose names are computed, or that name a method no estimator has: it could be any."""
        if _of_sklearn(made) and isinstance(state, _Made):
            self.reached.faults.add("it sets attributes that are computed")
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, _Made) and part.by is not None and part.by.name in _DICTIONARIES:
                self.reached.faults.add("it sets attributes that are computed")
            if not isinstance(part, dict):
                continue
            if _COMPUTED in part:
                self.reached.faults.add("it sets an attribute whose name is computed")
            for key in METHOD_NAMES:
                if key in part:
                    value = part[key]
                    self.methods.append(value if isinstance(value, list) else [value])

    def check_methods(self) -> None:
        """A list may be added to after it has become an attribute: it is looked at in the end."""
        for names in self.methods:
            if not all(one is None or (isinstance(one, str) and one in METHODS) for one in names):
                self.reached.faults.add("it names a method that is none of estimators")

    def _skip_array(self, state: dict[Any, Any]) -> None:
        """Pass over the numbers that joblib keeps after this instruction; an array of objects is a pickle itself."""
        shape = state.get("shape")
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise Stop("the shape of an array that joblib keeps cannot be told")
        size = _item_size(state.get("dtype"))
        if size is None:
            inner = _Machine(self.file, self.reached, skip_arrays=True)
            try:
                inner.run()
            except Stop as stop:
                if stop.why:
                    raise
            return
        length = size
        for n in shape:
            length *= n
        if state.get("numpy_array_alignment_bytes") is not None:
            padding = self.file.read(1)
            length += padding[0] if padding else 0
        while length > 0:
            passed = len(self.file.read(min(length, 1 << 20)))
            if not passed:
                raise Stop("an array that joblib keeps is cut short")
            length -= passed


def _item_size(dtype: Any) -> int | None:
    """Bytes of one item of a numpy type, as it was pickled; None for objects. Raises ``Stop`` when in any doubt."""
    made = isinstance(dtype, _Made) and dtype.by == _Name("numpy", "dtype") and len(dtype.arguments) == 3
    code = dtype.arguments[0] if made else None
    state = dtype.state if made and isinstance(dtype.state, tuple) else ()
    found = _SIZES.fullmatch(code) if isinstance(code, str) else None
    if found is None or len(state) < 8 or state[2] is not None:
        raise Stop(f"the type of an array that joblib keeps cannot be told ({code})")
    if found[1] == "O":
        return None
    size = int(found[2]) * (4 if found[1] == "U" else 1)
    fields = state[4] if isinstance(state[4], dict) else {}
    told = [_item_size(field[0]) if isinstance(field, tuple) and field else None for field in fields.values()]
    plain = state[4] is None or (isinstance(state[3], tuple) and len(state[3]) == len(fields))
    if None in told or not plain or type(state[7]) is not int or state[7] & 1 or state[5] not in (-1, size):
        raise Stop(f"an array of type {code} cannot be told from one of objects")
    return size


_Act = Callable[[_Machine, Any], None]


def _push_argument(machine: _Machine, argument: Any) -> None:
    if isinstance(argument, str):
        if _PROTOCOL.search(argument):  # numpy reads and writes the memory that such an attribute points at
            machine.reached.faults.add(f"it uses {argument[:60]}")
        machine.text += len(argument)
        if machine.text > _MOST_TEXT:
            machine.reached.faults.add(f"it holds more than {_MOST_TEXT:,} characters of text")
            raise Stop("it holds too much text")
    machine.push(argument)


def _push(value: Any) -> _Act:
    return lambda machine, _argument: machine.push(value)


def _get(machine: _Machine, argument: Any) -> None:
    if int(argument) not in machine.memo:
        raise Stop("it reads from the memo what it never put there")
    machine.push(machine.memo[int(argument)])


def _put(machine: _Machine, argument: Any) -> None:
    machine.memo[len(machine.memo) if argument is None else int(argument)] = machine.peek()


def _tuple(count: int) -> _Act:
    def act(machine: _Machine, _argument: Any) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(items)))

    return act


def _tuple_to_mark(machine: _Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    machine.push(tuple(items) if len(items) <= _WIDEST else OPAQUE)


def _collection_to_mark(machine: _Machine, _argument: Any) -> None:
    machine.pop_mark()
    machine.push(OPAQUE)


def _list_to_mark(machine: _Machine, _argument: Any) -> None:
    kept: list[Any] = []
    _extend(kept, machine.pop_mark())
    machine.push(kept)


def _extend(target: Any, items: list[Any]) -> None:
    """Keep a short list; what is left out of a longer one stands as one value that cannot be told."""
    if isinstance(target, list) and len(target) <= _WIDEST:
        target.extend(items[: _WIDEST - len(target)])
        if len(items) > _WIDEST or len(target) >= _WIDEST:
            target.append(OPAQUE)


def _dict_to_mark(machine: _Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    machine.push({})
    _fill(machine.stack[-1], items)


def _of_sklearn(made: Any) -> bool:
    return isinstance(made, _Made) and made.by is not None and made.by.module.partition(".")[0] == "sklearn"


def _set(machine: _Machine, target: Any, items: list[Any]) -> None:
    """Entries of a dictionary, of a list, or of what only looks like one."""
    if isinstance(target, list):
        _extend(target, items[1::2])
    elif any(isinstance(key, (_Made, Opaque)) for key in items[::2]) and _of_sklearn(target):
        machine.reached.faults.add("it sets an attribute whose name is computed")  # a Bunch gives entries as attributes
    _fill(target, items)


def _fill(target: Any, items: list[Any]) -> None:
    """Keep the entries of a small dictionary with names for keys: the states that matter look like that."""
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=False):
            if isinstance(key, str) and (len(target) < 2 * _WIDEST or key in METHOD_NAMES):
                target[key] = value
            elif isinstance(key, (_Made, Opaque)):
                target[_COMPUTED] = True


def _set_item(machine: _Machine, _argument: Any) -> None:
    value, key = machine.pop(), machine.pop()
    target = machine.peek()
    machine.change(target)
    _set(machine, target, [key, value])


def _set_items(machine: _Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    target = machine.peek()
    machine.change(target)
    _set(machine, target, items)


def _append(machine: _Machine, _argument: Any) -> None:
    value = machine.pop()
    machine.change(machine.peek())
    _extend(machine.peek(), [value])


def _append_to_mark(machine: _Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    machine.change(machine.peek())
    _extend(machine.peek(), items)


def _pop(machine: _Machine, _argument: Any) -> None:
    if not machine.stack:
        raise Stop("it drops a value that is not there")
    machine.stack.pop()


def _dup(machine: _Machine, _argument: Any) -> None:
    value = machine.pop()
    machine.push(value)
    machine.push(value)


def _global(machine: _Machine, argument: Any) -> None:
    machine.look_up(*argument)


def _stack_global(machine: _Machine, _argument: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.look_up(module, name)


def _reduce(machine: _Machine, _argument: Any) -> None:
    arguments, called = machine.pop(), machine.pop(to_call=True)
    machine.call(called, arguments)


def _inst(machine: _Machine, argument: Any) -> None:
    arguments = machine.pop_mark()
    _global(machine, argument)
    machine.call(machine.pop(to_call=True), tuple(arguments))


def _obj(machine: _Machine, _argument: Any) -> None:
    items = machine.pop_mark()
    if not items:
        raise Stop("it makes an object of nothing")
    machine.call(items[0], tuple(items[1:]))


def _new_obj(machine: _Machine, _argument: Any) -> None:
    arguments, called = machine.pop(), machine.pop(to_call=True)
    machine.call(called, arguments, made=True)


def _new_obj_ex(machine: _Machine, _argument: Any) -> None:
    machine.pop()
    _new_obj(machine, None)


def _build(machine: _Machine, _argument: Any) -> None:
    machine.build(machine.pop())


def _persistent(machine: _Machine, argument: Any) -> None:
    """A reference to something kept elsewhere (PyTorch's numbers); readers without such a place refuse it."""
    if argument is not None:
        raise Stop("it refers to something by name")  # as every zip archive seems to, read as a pickle
    machine.pop()
    machine.push(OPAQUE)


def _stop(machine: _Machine, _argument: Any) -> None:
    machine.top = machine.pop()
    machine.check_methods()
    raise Stop


def _ignore(_machine: _Machine, _argument: Any) -> None:
    return


def _mark(machine: _Machine, _argument: Any) -> None:
    machine.push(_MARK)


def _pop_mark(machine: _Machine, _argument: Any) -> None:
    machine.pop_mark()


_VALUES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 "
    "BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT"
)
_ACTS: dict[str, _Act] = (
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
