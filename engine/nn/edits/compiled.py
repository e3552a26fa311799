"""A network compiled by torch, beside the jobs that use it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from engine.core.background import BackgroundThread
from engine.core.errors import AtelierError, NodeError
from engine.nn.layers import Conv2d

__all__ = ["CompileFailed", "Compiled", "compile_to_the_end", "is_compiling"]

_MAX_REASON = 300
_SWITCH_S = 1e-4
"""How long the compiler, which is Python, may keep the interpreter from a forward that wants it; usually 5 ms, which
is longer than most of a forward's thousand calls take."""
_THREAD = BackgroundThread("compiler")
_stage = threading.local()
_compiling: WeakKeyDictionary[nn.Module, dict[Hashable, Future[None]]] = WeakKeyDictionary()


class CompileFailed(NodeError):
    """A compiled network raised. Whether its compiler is to blame shows when the plain one runs."""

    code = "compile_failed"


class _Compiled(Exception):
    """Everything is compiled and would run now."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The same function, compiled by one of torch's backends ("inductor", "cudagraphs").

    A size that is new to a network is compiled on a thread of its own while the network runs as it is, so no job waits
    for the compiler. torch keeps what it compiled for the code and shapes it has seen: a second size makes it compile
    once more, for sizes that vary, and after eight versions it runs the code as it is. Where weights are moved for each
    use only the parts between are compiled, and not beside the job, since they exist only while it runs. Not for a
    network that other edits change.
    """

    backend: str

    @property
    def identity(self) -> str:
        """Equal for equal edits: rounding differs from the plain network's."""
        return repr(self)

    def covers(self, sigma: float) -> bool:
        """At every level."""
        return True

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Run the network through the compiler; what is not about memory and comes from there is a CompileFailed."""
        for layer in network.modules():
            if isinstance(layer, Conv2d):
                layer.unpack()  # the compiler reads plain kernels, and packs them by itself
        before, plain = network.__dict__.get("forward"), network.forward
        compiled = torch.compile(plain, backend=_stopping(self.backend))

        def forward(*arguments: Any, **named: Any) -> Any:
            if not _is_compiled(network, compiled, arguments, named, self.backend):
                return plain(*arguments, **named)
            try:
                with _noticing_hooks():
                    return compiled(*arguments, **named)
            except (AtelierError, torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:
                raise _failure(error, self.backend) from error

        network.forward = forward
        try:
            yield
        finally:
            del network.forward
            if before is not None:
                network.forward = before


def is_compiling(network: nn.Module) -> bool:
    """Whether something of this network is being compiled, or waits for it."""
    return any(not future.done() for future in _compiling.get(network, {}).values())


def compile_to_the_end() -> None:
    """Wait until nothing is being compiled."""
    _THREAD.submit(lambda: None).result()


def _is_compiled(
    network: nn.Module, compiled: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any], backend: str
) -> bool:
    """Whether a forward with such arguments need not wait for the compiler, which begins with them otherwise.

    Raises CompileFailed once for each failure.
    """
    if any(layer._forward_pre_hooks or layer._forward_hooks for layer in network.modules()):
        return True
    known = _compiling.setdefault(network, {})
    key = _key(backend, arguments, named)
    if key not in known:
        known[key] = _begin(compiled, arguments, named)
    if not known[key].done():
        return False
    error = known[key].exception()
    if error is not None:
        del known[key]
        raise _failure(error, backend) from error
    return True


def _key(backend: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Hashable:
    """Equal for arguments that the same compiled code takes."""
    leaves, structure = pytree.tree_flatten((arguments, named))
    described = tuple(
        (tuple(leaf.shape), leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else repr(leaf) for leaf in leaves
    )
    return backend, repr(structure), described, torch.is_grad_enabled(), torch.is_inference_mode_enabled()


def _begin(compiled: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Future[None]:
    """Compile for these arguments on the compiler's thread, as if it were this one; nothing is computed."""
    is_inference, with_gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    num_threads = torch.get_num_threads()

    def compile_only() -> None:
        if torch.get_num_threads() != num_threads:
            torch.set_num_threads(num_threads)  # code is compiled for a number of threads
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        _stage.stops = True
        try:
            with torch.inference_mode(is_inference), torch.set_grad_enabled(with_gradients), _noticing_hooks():
                compiled(*arguments, **named)
        except _Compiled:
            pass
        finally:
            _stage.stops = False
            sys.setswitchinterval(usual)

    return _THREAD.submit(compile_only)


def _noticing_hooks() -> AbstractContextManager[None]:
    """Otherwise torch takes a module's hooks for constant, and those that bring weights in come and go.

    Newer releases of torch keep settings by thread, others for all: there a thread must not take it back from another.
    """
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    return torch._dynamo.config.patch(skip_nnmodule_hook_guards=False)


@lru_cache(maxsize=32)
def _stopping(backend: str | Callable[..., Any]) -> Callable[..., Any]:
    """A backend of torch's whose code does not run on the compiler's thread: memory for it is not planned there.

    One object for each backend: torch compiles anew for another one.
    """

    def compile_graph(graph: Any, inputs: Any) -> Callable[..., Any]:
        compiler = torch._dynamo.lookup_backend(backend) if isinstance(backend, str) else backend
        run = compiler(graph, inputs)

        def run_or_stop(*values: Any) -> Any:
            if getattr(_stage, "stops", False):
                raise _Compiled
            return run(*values)

        return run_or_stop

    return compile_graph


def _failure(error: BaseException, backend: str) -> CompileFailed:
    cause = getattr(error, "inner_exception", None) or error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return CompileFailed(
        f"torch could not compile this model with {backend}: {lines[0][:_MAX_REASON]}",
        hint="Take the node out, or install a C++ compiler for this machine.",
    )
