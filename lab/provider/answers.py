"""How the plugin answers when something fails: one line for the engine, `NAME (TYPE): CODE: message`, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from pulumi.runtime.proto import provider_pb2, status_pb2

from .errors import NotSupportedError, ProviderError
from .values import Json, encode

Q = TypeVar("Q", bound=Message)
R = TypeVar("R")


class UnfinishedError(ProviderError):
    """The resource exists with this id and state, but is not as it should be: the engine keeps it, and tries again."""

    def __init__(self, identifier: str, state: Json, inputs: Json, secret: frozenset[str], reason: str) -> None:
        super().__init__(reason)
        self.detail = provider_pb2.ErrorResourceInitFailed(
            id=identifier, properties=encode(state, secret), inputs=encode(inputs, secret), reasons=[reason]
        )


class OneLineErrors(grpc.ServerInterceptor):
    """Stands before the servicer, whose methods simply raise."""

    # grpc's own sources are without types: its base method is inferred to raise, whatever overrides it.
    def intercept_service(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Q, R] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Q, R] | None:
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        inner = handler.unary_unary

        def answered(request: Q, context: grpc.ServicerContext) -> R:
            try:
                return inner(request, context)
            except (ProviderError, OSError, ValueError) as failed:
                _refuse(request, context, failed)

        return grpc.unary_unary_rpc_method_handler(answered, handler.request_deserializer, handler.response_serializer)


def named(request: Message) -> str:
    """The resource (or function) that the request is about, as messages show it."""
    urn = str(getattr(request, "urn", ""))
    if not urn:
        return str(getattr(request, "tok", "")) or "the lab's provider"
    *_, kind, name = urn.split("::")
    return f"{name} ({kind.rpartition('$')[2]})"


def _refuse(request: Message, context: grpc.ServicerContext, failed: Exception) -> NoReturn:
    """Ends the call."""
    message = f"{named(request)}: {failed}"
    if isinstance(failed, UnfinishedError):
        packed = any_pb2.Any()
        packed.Pack(failed.detail)
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[packed])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    unsupported = isinstance(failed, NotSupportedError)
    context.abort(grpc.StatusCode.UNIMPLEMENTED if unsupported else grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort always raises")
