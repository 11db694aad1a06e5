"""What a long computation tells whoever listens: stages, losses, simulated time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Listener = Callable[[str, dict[str, Any]], None]

_LISTENERS: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


def report(event: str, **values: Any) -> None:
    """Tell every listener of this context about an event; does nothing where nobody listens.

    Events in use: ``"simulate"`` (done, total [time units], range), ``"train"`` (epoch, epochs,
    loss, validation), ``"fit"`` (learner), ``"stage"`` (name, state), ``"evaluate"`` (model, what),
    ``"sweep"`` (done, total [assimilations]).
    """
    for listener in _LISTENERS.get():
        listener(event, values)


def is_heard() -> bool:
    """Return whether anyone listens in this context."""
    return bool(_LISTENERS.get())


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Call `listener(event, values)` for every report made inside the block."""
    token = _LISTENERS.set((*_LISTENERS.get(), listener))
    try:
        yield
    finally:
        _LISTENERS.reset(token)
