"""The stack and the memo of a pickle that is followed, and what its instructions would do: call, change, set."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any

from mlship.scan.arguments import OPAQUE, READERS, Stop
from mlship.scan.called import only_named
from mlship.scan.instructions import ACTS
from mlship.scan.values import ARRAY, COMPUTED, MAKERS, MARK, METHOD_NAMES, METHODS, WIDEST, Made, Name, of_sklearn

if TYPE_CHECKING:
    from mlship.scan.pickles import Reached

#: Instructions in one stream; a model of more is a matter for a format that is no program.
MOST_STEPS = 50_000_000
_DICTIONARIES = ("dict", "OrderedDict", "defaultdict", "Counter", "Bunch")
_SIZES = re.compile(r"[<>|=]?([biufcSUVMmO])([0-9]+)")


class Machine:
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
            act = ACTS.get(name)
            if act is None:
                raise Stop(f"the instruction {name or code!r} is not one that models need")
            act(self, read(self.file) if read else None)

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self, *, to_call: bool = False) -> Any:
        """Take the value on top."""
        value = self.peek()
        self.stack.pop()
        self._check([] if to_call else [value])
        return value

    def peek(self) -> Any:
        """The value on top, which stays; raises ``Stop`` where there is none above the latest mark."""
        if not self.stack or self.stack[-1] is MARK:
            raise Stop("it takes a value that is not there")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Take everything above the latest mark, and the mark."""
        for depth, value in enumerate(reversed(self.stack)):
            if value is MARK:
                items = self.stack[len(self.stack) - depth :]
                del self.stack[len(self.stack) - depth - 1 :]
                self._check(items)
                return items
        raise Stop("it takes values down to a mark that is not there")

    def _check(self, items: list[Any]) -> None:
        """An array of joblib must be seen being made, or the bytes after it would be taken for instructions."""
        if ARRAY in items:
            self.reached.faults.add("it uses joblib's arrays as joblib never does")

    def look_up(self, module: Any, name: Any) -> None:
        """Note a name, and put what stands for it on the stack."""
        if not isinstance(module, str) or not isinstance(name, str):
            self.reached.calls = True
            self.reached.faults.add("it looks up a name that is computed")
            self.push(OPAQUE)
            return
        if not module or not name or not f"{module}{name}".isprintable() or " " in module + name:
            raise Stop(f"{module!r} {name!r} is no name")  # a reader fails here too: there is no such module
        self.reached.names.add((module, name))
        self.push(Name(module, name))

    def call(self, called: Any, arguments: Any, *, made: bool = False) -> None:
        """Note a call, and put its result on the stack; `made` when an instance is made without its constructor."""
        self.reached.calls = True
        if isinstance(called, Name):
            if not made and only_named(called.module, called.name):
                self.reached.faults.add(f"it calls {called.module}.{called.name}, which models only name")
            kept = arguments if isinstance(arguments, tuple) and len(arguments) <= WIDEST else ()
            if called in MAKERS:
                base = kept[1] if len(kept) > 1 and called.name == "_reconstructor" else None
                if not kept or not isinstance(kept[0], Name):
                    self.reached.faults.add("it makes an instance of what it has computed")
                elif base is not None and not (isinstance(base, Name) and base.module in ("builtins", "__builtin__")):
                    self.reached.faults.add("it makes an instance by a constructor of its own")
                else:
                    called = kept[0]
            elif called.module == "types" and not made and kept != ():
                self.reached.faults.add(f"it calls {called.module}.{called.name} with values")
            self.push(Made(called, kept))
            return
        by = called.by if isinstance(called, Made) else None
        if by is None or by.module.split(".")[0] not in ("cloudpickle", "dill"):  # those are findings of their own
            self.reached.faults.add("it calls what it has computed")
        self.push(Made(by))

    def change(self, changed: Any) -> None:
        """Note that something of a module is changed; what the stream has made may be."""
        if isinstance(changed, Name):
            self.reached.calls = True
            self.reached.faults.add(f"it changes {changed.module}.{changed.name} itself")

    def build(self, state: Any) -> None:
        """Give the instance on top its state."""
        made = self.peek()
        self.reached.calls = True
        self.change(made)
        if not isinstance(made, Made):
            return
        made.state = state
        self._check_state(made, state)
        if self.skip_arrays and made.by == ARRAY:
            self._skip_array(state if isinstance(state, dict) else {})
            self.stack[-1] = OPAQUE

    def _check_state(self, made: Made, state: Any) -> None:
        """Attributes whose names are computed, or that name a method no estimator has: it could be any."""
        if of_sklearn(made) and isinstance(state, Made):
            self.reached.faults.add("it sets attributes that are computed")
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, Made) and part.by is not None and part.by.name in _DICTIONARIES:
                self.reached.faults.add("it sets attributes that are computed")
            if not isinstance(part, dict):
                continue
            if COMPUTED in part:
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
            inner = Machine(self.file, self.reached, skip_arrays=True)
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
    made = isinstance(dtype, Made) and dtype.by == Name("numpy", "dtype") and len(dtype.arguments) == 3
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
