"""Pickles, of anybody: read without calling anything that they name.

A pickle is a program for a machine with a stack, and Python's own machine imports and calls whatever the program names.
This one imports nothing. It makes containers, numbers, text and NumPy's arrays, and what its reader adds to that
(`names`); a pickle that names anything else is refused. So no class of a stranger, and none of Python's, is ever looked
up, and what a pickle takes is bounded by its own bytes.
"""

import dataclasses
import math
import re
import struct

import numpy as np

STEPS = 1 << 18  # of one pickle; weights of 700 tensors, with their optimizer's, take 50,000
WHOLE = 1 << 60  # whole numbers that are keys stay below it
DIGITS = 4300  # of a number that is written as text


class NamesCodeError(ValueError):
    """A pickle that names what is neither container, number nor array: to read it as Python does would run code."""


@dataclasses.dataclass(frozen=True)
class Name:
    """What a pickle names: `module.name`, and nothing of what Python knows by it."""

    text: str


class Array:
    """A NumPy array; `value` is None until the pickle has said what it holds."""

    value = None

    def build(self, state):
        """Takes what NumPy stores of an array: (version, shape, dtype, whether in Fortran's order, content)."""
        shape, dtype, fortran, content = state[-4:]
        self.value = _array(content, dtype, shape, "F" if fortran else "C")


class DType:
    """A NumPy dtype of plain numbers or text."""

    def __init__(self, code):
        if not isinstance(code, str) or not re.fullmatch(r"[<>=|]?([fiub][1248]|[SU]\d{1,9})", code):
            raise ValueError(f"an array of {code[:40]!r}" if isinstance(code, str) else "an array of records")
        self.value = np.dtype(code)

    def build(self, state):
        """Takes what NumPy stores of a dtype: (version, byte order, ...), of which a plain one has no more."""
        _, order, *more = state
        if any(each is not None for each in more[:3]):
            raise ValueError("an array of records, not of numbers")
        self.value = self.value.newbyteorder(order)


def _array(content, dtype, shape, order="C"):
    """The array of these bytes, which it does not copy. NumPy's arrays of Python 2 have text of as many characters."""
    if isinstance(content, str):
        content = content.encode("latin1")
    if not isinstance(content, bytes) or not isinstance(dtype, DType) or not is_shape(shape):
        raise ValueError("an array whose content is not bytes")
    declared = math.prod(shape) * dtype.value.itemsize
    if declared != len(content):
        raise ValueError(f"an array that declares {declared} bytes, and has {len(content)}")
    if not declared:
        return np.zeros(shape, dtype.value)
    return np.frombuffer(content, dtype.value).reshape(shape, order=order)


def is_shape(value):
    """Whether a value is the shape of an array."""
    return isinstance(value, tuple) and len(value) <= 32 and all(type(n) is int and 0 <= n < WHOLE for n in value)


def items_of(value):
    """The list or tuple that a value must be."""
    if not isinstance(value, list | tuple):
        raise ValueError("items of what is no list")
    return value


def _reconstruct(kind, *_):
    if kind != Name("numpy.ndarray"):
        raise ValueError("an array of a class of its own")
    return Array()


def _filled(content, dtype, shape, order="C"):
    made = Array()
    made.value = _array(content, dtype, shape, order if order == "F" else "C")
    return made


def _encode(text, encoding="latin1"):
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("text in another encoding")
    return text.encode("latin1")


def _content(value=b"", *_):
    return value if isinstance(value, bytes) else _encode(value)


def _mapping(pairs=()):
    return _paired({}, [each for pair in pairs for each in _two(pair)])


def _counter(counted=None):
    if counted is not None and type(counted) is not dict:  # whose keys `_paired` has seen
        raise ValueError("a dictionary of what is none")
    return dict(counted or {})


def _two(pair):
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError("a dictionary of what are no pairs")
    return pair


def _paired(mapping, items):
    """Adds [key, value, key, value, ...] to a dictionary, if its keys are text or whole numbers."""
    if len(items) % 2 or type(mapping) is not dict:
        raise ValueError("items of what is no dictionary")
    for key, value in zip(items[::2], items[1::2]):
        if not (isinstance(key, str | bytes) or (isinstance(key, int) and -WHOLE < key < WHOLE)):
            raise ValueError("a dictionary whose keys are neither text nor numbers")
        mapping[key] = value
    return mapping


# What any pickle of weights may name: {name: what is made of the arguments}, None where it is an argument itself.
NAMES = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _counter,
    "collections.defaultdict": lambda default=None, *_: {},
    "_codecs.encode": _encode,
    "numpy.ndarray": None,
    "numpy.dtype": lambda code, *_: DType(code),
    **dict.fromkeys(
        (f"{module}.multiarray._reconstruct" for module in ("numpy.core", "numpy._core")),
        _reconstruct,
    ),
    **dict.fromkeys(
        (f"{module}.multiarray.scalar" for module in ("numpy.core", "numpy._core")),
        lambda dtype, content=b"": _array(content, dtype, ())[()],
    ),
    **dict.fromkeys((f"{module}.numeric._frombuffer" for module in ("numpy.core", "numpy._core")), _filled),
    **{
        f"{module}.{name}": make
        for module in ("builtins", "__builtin__")
        for name, make in (
            ("dict", lambda *pairs: _mapping(*pairs)),
            ("list", lambda items=(): list(items_of(items))),
            ("tuple", lambda items=(): tuple(items_of(items))),
            ("set", lambda items=(): list(items_of(items))),  # as lists: nothing but keys is ever hashed
            ("frozenset", lambda items=(): list(items_of(items))),
            ("bytes", _content),
            ("bytearray", _content),
            ("int", None), ("float", None), ("bool", None), ("str", None), ("unicode", None), ("object", None),
        )
    },
}  # fmt: skip


def load(content, at=0, names=None, persistent=None):
    """Reads one pickle.

    Args:
        content: bytes, the pickle among them.
        at: index of its first byte.
        names: what it may name next to `NAMES`, as they are.
        persistent: what to make of the id of something that is stored elsewhere.

    Returns:
        (value, index of the first byte after it). Dictionaries of all kinds are dict, sets are lists, arrays `Array`.

    Raises:
        NamesCodeError: it names anything else.
        ValueError: it is no pickle, it is cut, or it makes what weights never need.
    """
    machine = _Machine(content, at, {**NAMES, **(names or {})}, persistent)
    return machine.run(), machine.at


class _Machine:
    """The stack, the marks in it, and what was put aside under a number."""

    def __init__(self, content, at, names, persistent):
        self.content, self.at, self.names, self.persistent = content, at, names, persistent
        self.stack, self.below, self.memo = [], [], {}
        self.left = 2 * (len(content) - at) + STEPS  # characters and items that calls may copy

    def run(self):
        for _ in range(STEPS):
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            step = OPCODES.get(code)
            if step is None:
                raise ValueError(f"no pickle of arrays: at byte {self.at - 1} is {code!r}")
            try:
                step(self)
            except (IndexError, KeyError, TypeError, struct.error) as error:
                raise ValueError(f"no whole pickle: byte {self.at} ({type(error).__name__})") from error
        raise ValueError(f"a pickle of more than {STEPS} steps")

    def take(self, size):
        """The next bytes."""
        if size < 0 or self.at + size > len(self.content):
            raise ValueError("it is cut")
        self.at += size
        return bytes(self.content[self.at - size : self.at])

    def counted(self, width):
        """The next bytes, whose number comes first."""
        return self.take(int.from_bytes(self.take(width), "little"))

    def line(self, most=1 << 16):
        """The bytes up to the end of the line."""
        end = self.content.find(b"\n", self.at, self.at + most)
        if end < 0:
            raise ValueError("it is cut")
        return self.take(end + 1 - self.at)[:-1]

    def number(self):
        text = self.line(DIGITS).removesuffix(b"L")
        return text == b"01" if text in (b"00", b"01") else int(text)

    def push(self, value):
        self.stack.append(value)

    def popped(self, count):
        if len(self.stack) < count:
            raise ValueError("it takes more from the stack than there is")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def marked(self):
        """What was pushed since the last mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def mark(self):
        self.below.append(self.stack)
        self.stack = []

    def name(self, module, name):
        text = f"{module}.{name}"
        if text not in self.names:
            raise NamesCodeError(f"a reference to {text}")
        self.push(Name(text))

    def call(self, name, arguments):
        """Pushes what this reader, not Python, makes of a name."""
        if not isinstance(name, Name):
            raise ValueError("a call of what is no name")
        make = self.names[name.text]
        if make is None:
            raise ValueError(f"a call of {name.text}, which makes no array")
        sizes = (each.values() if isinstance(each, dict) else each for each in arguments)
        self.left -= sum(len(each) for each in sizes if hasattr(each, "__len__"))
        if self.left < 0:
            raise ValueError("it copies far more than it holds")
        self.push(make(*arguments))

    def build(self):
        (state,) = self.popped(1)
        target = self.stack[-1]
        if isinstance(target, Array | DType):
            target.build(state)
        elif not isinstance(target, dict):  # whose attributes, such as the _metadata of a state_dict, are no weights
            raise ValueError("a state of what has none")

    def stored_elsewhere(self):
        (key,) = self.popped(1)
        if self.persistent is None:
            raise ValueError("it refers to what is stored elsewhere")
        self.push(self.persistent(key))

    def append(self, items):
        target = self.stack[-1]
        if type(target) is not list:
            raise ValueError("items of what is no list")
        target.extend(items)

    def set_items(self, items):
        _paired(self.stack[-1], items)

    def get(self, key):
        self.push(self.memo[key])

    def put(self, key):
        self.memo[key] = self.stack[-1]


def _fixed(layout):
    return lambda machine: machine.push(struct.unpack(layout, machine.take(struct.calcsize(layout)))[0])


def _sized(width, decode):
    return lambda machine: machine.push(decode(machine.counted(width)))


def _latin1(text):
    return text.decode("latin1")


def _utf_8(text):
    return text.decode("utf-8", "surrogatepass")


def _long(digits):
    if len(digits) > DIGITS:
        raise ValueError("a number of thousands of digits")
    return int.from_bytes(digits, "little", signed=True)


def _quoted(machine):
    """A string of Python 2's first protocol, as `repr` writes it."""
    text = machine.line(len(machine.content)).decode("latin1")
    if len(text) < 2 or text[0] not in "'\"" or text[-1] != text[0]:
        raise ValueError("a string without its quotes")
    escapes = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}

    def plain(found):
        return escapes[found[1]] if found[1] in escapes else chr(int(found[1][1:], 16))

    machine.push(re.sub(r"""\\(x[0-9a-fA-F]{2}|[nrt\\'"])""", plain, text[1:-1]))


def _name(machine):
    machine.name(machine.line().decode(), machine.line().decode())


def _name_of_stack(machine):
    module, name = machine.popped(2)
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ValueError("a name that is no text")
    machine.name(module, name)


def _reduce(machine):
    name, arguments = machine.popped(2)
    if not isinstance(arguments, tuple):
        raise ValueError("a call without arguments")
    machine.call(name, arguments)


def _instance(machine):
    _name(machine)
    (name,) = machine.popped(1)
    machine.call(name, machine.marked())


def _object(machine):
    name, *arguments = machine.marked()
    machine.call(name, arguments)


OPCODES = {  # of all six protocols, but for what weights never have: EXT*, NEWOBJ_EX, PERSID, NEXT_BUFFER
    b"\x80": lambda machine: machine.take(1),
    b"\x95": lambda machine: machine.take(8),
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"K": _fixed("<B"),
    b"M": _fixed("<H"),
    b"J": _fixed("<i"),
    b"G": _fixed(">d"),
    b"\x8a": _sized(1, _long),
    b"\x8b": _sized(4, _long),
    b"I": lambda machine: machine.push(machine.number()),
    b"L": lambda machine: machine.push(machine.number()),
    b"F": lambda machine: machine.push(float(machine.line(DIGITS))),
    b"U": _sized(1, _latin1),
    b"T": _sized(4, _latin1),
    b"X": _sized(4, _utf_8),
    b"\x8c": _sized(1, _utf_8),
    b"\x8d": _sized(8, _utf_8),
    b"B": _sized(4, bytes),
    b"C": _sized(1, bytes),
    b"\x8e": _sized(8, bytes),
    b"\x96": _sized(8, bytes),
    b"S": _quoted,
    b"V": lambda machine: machine.push(machine.line(len(machine.content)).decode("raw-unicode-escape")),
    b"}": lambda machine: machine.push({}),
    b"]": lambda machine: machine.push([]),
    b"\x8f": lambda machine: machine.push([]),
    b")": lambda machine: machine.push(()),
    b"\x85": lambda machine: machine.push(tuple(machine.popped(1))),
    b"\x86": lambda machine: machine.push(tuple(machine.popped(2))),
    b"\x87": lambda machine: machine.push(tuple(machine.popped(3))),
    b"(": _Machine.mark,
    b"t": lambda machine: machine.push(tuple(machine.marked())),
    b"l": lambda machine: machine.push(machine.marked()),
    b"\x91": lambda machine: machine.push(machine.marked()),
    b"d": lambda machine: machine.push(_paired({}, machine.marked())),
    b"a": lambda machine: machine.append(machine.popped(1)),
    b"e": lambda machine: machine.append(machine.marked()),
    b"\x90": lambda machine: machine.append(machine.marked()),
    b"s": lambda machine: machine.set_items(machine.popped(2)),
    b"u": lambda machine: machine.set_items(machine.marked()),
    b"0": lambda machine: machine.popped(1),
    b"1": lambda machine: machine.marked(),
    b"2": lambda machine: machine.push(machine.stack[-1]),
    b"h": lambda machine: machine.get(int.from_bytes(machine.take(1), "little")),
    b"j": lambda machine: machine.get(int.from_bytes(machine.take(4), "little")),
    b"g": lambda machine: machine.get(machine.number()),
    b"q": lambda machine: machine.put(int.from_bytes(machine.take(1), "little")),
    b"r": lambda machine: machine.put(int.from_bytes(machine.take(4), "little")),
    b"p": lambda machine: machine.put(machine.number()),
    b"\x94": lambda machine: machine.put(len(machine.memo)),
    b"c": _name,
    b"\x93": _name_of_stack,
    b"R": _reduce,
    b"\x81": _reduce,
    b"i": _instance,
    b"o": _object,
    b"b": _Machine.build,
    b"Q": _Machine.stored_elsewhere,
}
