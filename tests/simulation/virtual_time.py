"""Virtual time, and processes that can be killed at any await.

`VirtualLoop` is an asyncio loop whose clock jumps to the next timer: nothing ever waits. What would
go to a thread is done in the loop, a moment later. A `Process` stands for one of the operating
system: what it has begun runs in its context, and once it is killed nothing of it runs any more, no
`finally` and no `except`, as after kill -9.
"""

import asyncio
import contextlib
import contextvars
import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

STEPS_AT_ONCE = 100_000  # without that time passes by `STILL_SECONDS`
STILL_SECONDS = 1.0
TICK_SECONDS = 1e-6  # time passes from one timer to the next, as it does on a real machine
BURST = 256  # steps between two looks at whether the loop is to stop
EPOCH = 1_700_000_000.0  # Unix time when a world begins

_process: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)
OUTSIDE = contextvars.Context()  # of what belongs to no process: the network, the machines


class BusyLoop(Exception):
    """So much was done at one moment that time will never pass."""


class NothingLeft(Exception):
    """Nobody waits for any time: the world stands still for ever."""


class Process:
    """`blocking` says how long a blocking call takes: seconds before it is done, and after."""

    def __init__(
        self, loop: "VirtualLoop", name: str, blocking: Callable[[], tuple[float, float]]
    ) -> None:
        self.loop = loop
        self.name = name
        self.blocking = blocking
        self.alive = True
        self.fuse = -1  # steps until it is killed; below 0: it is not
        self.on_death: list[Callable[[], None]] = []
        self.context = contextvars.copy_context()
        self.context.run(_process.set, self)
        self.tasks: list[asyncio.Task[Any]] = []

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        return self.loop.create_task(work, context=self.context)

    def kill(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self.loop.buried += [task for task in self.tasks if not task.done()]
        self.tasks.clear()
        for act in self.on_death:
            self.loop.call_soon(act, context=OUTSIDE)

    def keep(self, task: "asyncio.Task[Any]") -> None:
        """A task that nobody else refers to must not be collected, and so be closed."""
        self.tasks.append(task)
        if len(self.tasks) > 500:
            self.tasks = [other for other in self.tasks if not other.done()]


def present_process() -> Process | None:
    """Whose code runs right now."""
    return _process.get()


class Turn(asyncio.TimerHandle):
    """A handle, without what asyncio keeps in its own for debugging."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: "VirtualLoop",
        context: contextvars.Context | None,
    ) -> None:
        self._when, self._callback, self._args, self._loop = when, callback, args, loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]


class VirtualLoop(asyncio.BaseEventLoop):
    """One thread, no selector. Seconds begin at 0."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self.steps = 0
        self._jumped_at = 0  # steps
        self._marked = 0.0  # seconds
        self.buried: list[asyncio.Task[Any]] = []  # of processes that were killed
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """As the base has it, without what it looks at for others."""
        handle = Turn(self._now, callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Timers of the same moment fire in the order in which they were set."""
        handle = Turn(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def _write_to_self(self) -> None:
        """There is no other thread to be woken up by."""

    def _process_events(self, event_list: object) -> None:
        """There are none but timers."""

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        if self.steps - self._jumped_at > STEPS_AT_ONCE:
            busy = [task for task in asyncio.all_tasks(self) if self._is_ready(task)]
            raise BusyLoop(f"at {self._now} s: {busy or list(ready)[:3]}")
        for _ in range(BURST):
            if not ready:
                self._jump()
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_process)
            if process is not None:
                if not process.alive:
                    continue
                if process.fuse >= 0:
                    process.fuse -= 1
                    if process.fuse < 0:
                        process.kill()
                        continue
            self.steps += 1
            handle._run()
            if self._stopping:  # type: ignore[attr-defined]
                return

    def _is_ready(self, task: "asyncio.Task[Any]") -> bool:
        """Whether it does not wait for anything but its turn."""
        return not task.done() and task._fut_waiter is None  # type: ignore[attr-defined]

    def _jump(self) -> None:
        """To the next timer."""
        timers = self._timers
        while timers:
            when, _, handle = heapq.heappop(timers)
            if handle._cancelled:  # type: ignore[attr-defined]
                continue
            self._now = max(self._now + TICK_SECONDS, when)
            if when > self._marked + STILL_SECONDS:
                self._marked, self._jumped_at = self._now, self.steps
            self._ready.append(handle)  # type: ignore[attr-defined]
            return
        raise NothingLeft

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """In this very thread, after as long as the caller's machine takes. A process that is
        killed meanwhile may have had it done, or not."""
        process = present_process()
        before, after = process.blocking() if process is not None else (0.0, 0.0)
        future = self.create_future()

        def work() -> None:
            try:
                end(future.set_result, func(*args))
            except BaseException as error:
                end(future.set_exception, error)

        def end(tell: Callable[[Any], None], what: Any) -> None:
            if after:
                self.call_later(after, told, tell, what)
            else:
                told(tell, what)

        def told(tell: Callable[[Any], None], what: Any) -> None:
            if not future.done():
                tell(what)

        self.call_later(before, work)
        return future

    def bury(self) -> None:
        """End all that is left, when nothing of the world is looked at any more. What is cut off
        may begin something in its `finally`, which ends as well."""
        asyncio._set_running_loop(self)
        ended: set[asyncio.Task[Any]] = set()
        while left := {*self.buried, *asyncio.all_tasks(self)} - ended:
            for task in left:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    _close(task.get_coro())
            ended |= left
        asyncio._set_running_loop(None)
        self.buried.clear()
        self._ready.clear()  # type: ignore[attr-defined]
        self._timers.clear()
        self.close()


def _close(work: Any) -> None:
    with contextlib.suppress(BaseException):  # what it says when it is cut off
        work.close()


def _make_task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any],
    context: contextvars.Context | None = None,
) -> "asyncio.Task[Any]":
    task = asyncio.Task(work, loop=loop, context=context)
    process = context.get(_process) if context is not None else _process.get()
    if process is not None:
        process.keep(task)
    return task
