"""The inside of a room: one learner's file, the objects made from it, and the questions they are asked.

A `Stage` answers one question with one row, `["ok", value]` or a kind of fault with what is known of it, and lets
nothing out of itself but that. It is the same in both transports; only the pipe before it differs. The learner's file
is run in a module of its own, called `learner`, whose file name is the learner's.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType

from . import things
from .wire import NotPlain, described, plain, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

    Theirs = Any  # something that learner code made

MODULE = "learner"
TOLD = 500
"""So many characters of an exception's text are told."""
FRAMES = 12
"""So many steps of a traceback, the last ones."""
MANY = 40
"""So many classes, methods and parameters are described."""

_VARARGS, _VARKEYWORDS = 4, 8  # CO_VARARGS, CO_VARKEYWORDS: `inspect` costs 13 ms of every start
_ONLY_AST = 1024


class Missing(Exception):
    """The file does not define what was asked for."""


class Read:
    """A learner's file, read but not run: code, the modules that it imports, and the lines of its classes."""

    def __init__(self, data: bytes, name: str) -> None:
        tree = compile(data, name, "exec", _ONLY_AST, dont_inherit=True)
        self.name = name
        self.imports = _imports(tree)
        self.lines = {node.name: node.lineno for node in tree.body if type(node).__name__ == "ClassDef"}
        self.code: CodeType = compile(data, name, "exec", dont_inherit=True)


class Stage:
    """One run of a learner's file. `run` comes first, then any number of `answer`."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.module = ModuleType(MODULE)
        self.module.__file__ = read.name
        self.error: BaseException | None = None
        self._objects: dict[int, Any] = {}
        self._next = 1
        self._backends: dict[int, things.Backend] = {}
        self._offers: dict[int, tuple[things.Backend, ...]] = {}
        self._ops: dict[str, Callable[..., Any]] = {
            "run": self._run,
            "describe": self._describe,
            "make": self._make,
            "drop": self._drop,
            "call": self._call,
            "batch": self._batch,
            "pick": self._pick,
            "picks": self._picks,
            "observe": self._observe,
        }

    def answer(self, op: str, arguments: list[Any], touched: list[str] = things.touched) -> list[Any]:
        """The answer to one question; whatever learner code raises is part of it."""
        touched.clear()
        self.error = None
        try:
            answer = self._ops[op](*arguments)
        except BaseException as error:  # noqa: BLE001 (learner code may raise anything)
            self.error = error
            answer = self._fault(error)
        return ["changed", touched[0]] if touched else answer

    def _run(self) -> list[Any]:
        sys.modules[MODULE] = self.module  # dataclasses look their module up
        exec(self.read.code, self.module.__dict__)
        return ["ok", None]

    def _make(self, cls: str, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        made = self._named(cls)(*unpack(args), **{key: unpack(value) for key, value in kwargs.items()})
        handle, self._next = self._next, self._next + 1
        self._objects[handle] = made
        return ["ok", handle]

    def _named(self, cls: str) -> Callable[..., Any]:
        found = self.module.__dict__.get(cls)
        if isinstance(found, type):
            return found
        own = ", ".join(name for name, _ in self._own_classes()) or "none"
        raise Missing(f"there is no class {cls}; the classes of the file: {own}")

    def _drop(self, handle: int) -> list[Any]:
        self._objects.pop(handle, None)
        return ["ok", None]

    def _call(self, handle: int, method: str, args: list[Any]) -> list[Any]:
        return self._plainly(method, self._method(handle, method)(*unpack(args)))

    def _batch(self, handle: int, method: str, argss: list[list[Any]]) -> list[Any]:
        function = self._method(handle, method)
        values = []
        for args in argss:
            answer = self._plainly(method, function(*unpack(args)))
            if answer[0] != "ok":
                return answer
            values.append(answer[1])
        return ["ok", values]

    def _method(self, handle: int, method: str) -> Callable[..., Any]:
        return getattr(self._objects[handle] if handle else self.module, method)  # type: ignore[no-any-return]

    @staticmethod
    def _plainly(method: str, value: Theirs) -> list[Any]:
        try:
            return ["ok", plain(value)]
        except NotPlain as refused:
            return ["type", method, str(refused)]

    def _pick(self, handle: int, request: list[Any], offer: int, uids: list[int] | None, news: list[Any]) -> list[Any]:
        backends = self._offered(offer, uids, news)
        chosen = self._objects[handle].pick(things.Request(request), backends)
        return _index(chosen, backends)

    def _picks(
        self, handle: int, requests: list[Any], offer: int, uids: list[int] | None, news: list[Any]
    ) -> list[Any]:
        backends = self._offered(offer, uids, news)
        pick = self._objects[handle].pick
        indexes = []
        for request in requests:
            answer = _index(pick(things.Request(request), backends), backends)
            if answer[0] != "ok":
                return answer
            indexes.append(answer[1])
        return ["ok", indexes]

    def _offered(self, offer: int, uids: list[int] | None, news: list[Any]) -> tuple[things.Backend, ...]:
        """The tuple of that number, after the news of its backends; with `uids` it is a new one."""
        for uid, *row in news:
            if uid not in self._backends:
                self._backends[uid] = things.Backend()
            things.show(self._backends[uid], row)
        if uids is not None:
            self._offers[offer] = tuple([self._backends[uid] for uid in uids])
        return self._offers[offer]

    def _observe(self, handle: int, row: list[Any]) -> list[Any]:
        observe = getattr(self._objects[handle], "observe", None)
        if observe is not None:
            observe(things.Finished(row))
        return ["ok", None]

    def _fault(self, error: BaseException) -> list[Any]:
        if type(error) is Missing:
            return ["missing", str(error)]
        if isinstance(error, MemoryError):
            return ["memory"]
        return ["exc", type(error).__name__[:60], _text(error), self._frames(error)]

    def _frames(self, error: BaseException) -> list[list[Any]]:
        """Line number and function of each step in the learner's own file, the last ones."""
        frames = []
        step = error.__traceback__
        while step is not None:
            code = step.tb_frame.f_code
            if code.co_filename == self.read.name:
                frames.append([step.tb_lineno, code.co_name[:60]])
            step = step.tb_next
        return frames[-FRAMES:]

    def _describe(self) -> list[Any]:
        classes = [
            [name, self.read.lines.get(name, 0), _parameters(_constructor(cls), bound=True), self._methods(cls)]
            for name, cls in self._own_classes()[:MANY]
        ]
        functions = [
            self._function(name, value, bound=False)
            for name, value in self.module.__dict__.items()
            if type(value) is FunctionType and value.__code__.co_filename == self.read.name
        ]
        return ["ok", [classes, functions[:MANY]]]

    def _own_classes(self) -> list[tuple[str, type]]:
        own = [(name, value) for name, value in self.module.__dict__.items() if isinstance(value, type)]
        return [(name, cls) for name, cls in own if cls.__module__ == MODULE]

    def _methods(self, cls: type) -> list[list[Any]]:
        """The public methods, a redefined one as its class redefines it."""
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__[:-1]):
            found.update(vars(base))
        public = {name: value for name, value in found.items() if not name.startswith("_") and _callable(value)}
        rows = [self._function(name, value, type(value) is not staticmethod) for name, value in public.items()]
        return rows[:MANY]

    def _function(self, name: str, value: Theirs, bound: bool) -> list[Any]:
        code = getattr(_unwrapped(value), "__code__", None)
        line = code.co_firstlineno if code is not None and code.co_filename == self.read.name else 0
        return [name[:60], line, _parameters(value, bound)]


def _imports(tree: Theirs) -> set[str]:
    """The modules that a syntax tree names in its imports, at any depth; `ast.walk` without `ast`."""
    found: set[str] = set()
    todo = [tree]
    while todo:
        node = todo.pop()
        kind = type(node).__name__
        if kind == "Import":
            found.update(alias.name for alias in node.names)
        elif kind == "ImportFrom" and node.module and not node.level:
            found.add(node.module)
        for field in node._fields:
            value = getattr(node, field, None)
            todo.extend(part for part in (value if type(value) is list else [value]) if hasattr(part, "_fields"))
    return found


def _index(chosen: Theirs, backends: tuple[things.Backend, ...]) -> list[Any]:
    """Which of the offered objects that is; by identity, so that nobody can claim to be equal to one."""
    for index, backend in enumerate(backends):
        if backend is chosen:
            return ["ok", index]
    if type(chosen) is things.Backend:
        return ["offered", f"the backend {chosen.name}"]
    return ["offered", described(chosen)]


def _text(error: BaseException) -> str:
    try:
        return str(error)[:TOLD]
    except BaseException:  # noqa: BLE001 (their __str__)
        return ""


def _callable(value: Theirs) -> bool:
    return type(value) in (staticmethod, classmethod) or (callable(value) and not isinstance(value, type))


def _constructor(cls: type) -> Theirs:
    for name in ("__init__", "__new__"):
        found = getattr(cls, name, None)
        if type(found) is FunctionType:
            return found
    return None if cls.__init__ is object.__init__ else cls.__init__  # type: ignore[misc]


def _unwrapped(value: Theirs) -> Theirs:
    """The function below decorators that say what they wrap."""
    for _ in range(10):
        inner = getattr(value, "__func__", None) or getattr(value, "__wrapped__", None)
        if inner is None:
            return value
        value = inner
    return value


def _parameters(value: Theirs, bound: bool) -> list[list[Any]]:
    """Name, required and kind of each parameter, without the first one of what is `bound`."""
    if value is None:
        return []
    function = _unwrapped(value)
    code = getattr(function, "__code__", None)
    if code is None:
        return [["args", False, "rest"], ["kwargs", False, "others"]]
    plainly, by_name = code.co_argcount, code.co_kwonlyargcount
    names = code.co_varnames
    first_default = plainly - len(function.__defaults__ or ())
    rows = [[names[i], i < first_default, "plain"] for i in range(plainly)][1 if bound else 0 :]
    keyword_defaults = function.__kwdefaults__ or {}
    rows += [[name, name not in keyword_defaults, "keyword"] for name in names[plainly : plainly + by_name]]
    after = plainly + by_name
    if code.co_flags & _VARARGS:
        rows.append([names[after], False, "rest"])
        after += 1
    if code.co_flags & _VARKEYWORDS:
        rows.append([names[after], False, "others"])
    return rows[:MANY]
