"""The engine's side of the plugin: gRPC requests to plain data, the tables' functions, and back."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from . import config
from .answers import UnfinishedError
from .api import Api
from .check import check, check_properties, fill
from .diff import diff, project
from .errors import NotReadyError, NotSupportedError, ProviderError
from .patience import found
from .resource import Change, Function, Problem, ResourceType
from .shape import Shape, shapes
from .tables import functions, resources
from .values import UNKNOWN, Json, decode, encode, holds_unknown

pb = provider_pb2
_NO_IMPORT = (
    "can't do `pulumi import`: name what exists in the stack file (network.vpc_id, storage.existing, storage.adopt), "
    "or give the resource the import_ option in its program"
)


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One package: `aws` or `random`, for an engine that was asked to `command`. Methods are named by the protocol."""

    def __init__(self, package: str, command: str) -> None:
        self._resources: Mapping[str, ResourceType] = resources(package)
        self._functions: Mapping[str, Function] = functions(package)
        self._package, self._command = package, command
        self._api = Api("")
        self._apis: dict[str, Api] = {}

    def Handshake(  # noqa: N802
        self, request: pb.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> pb.ProviderHandshakeResponse:
        if self._command == "import":
            # The engine writes the state, and protects what it wrote, before it asks for the schema that is not here.
            raise ProviderError(_NO_IMPORT)
        return pb.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802
        return plugin_pb2.PluginInfo(version=config.version(self._package))

    def GetSchema(self, request: pb.GetSchemaRequest, context: grpc.ServicerContext) -> pb.GetSchemaResponse:  # noqa: N802
        raise NotSupportedError(
            "the lab's provider has no schema: use the real plugin for `pulumi import` and SDK generation"
        )

    def CheckConfig(self, request: pb.CheckRequest, context: grpc.ServicerContext) -> pb.CheckResponse:  # noqa: N802
        values, _ = decode(request.news)
        return pb.CheckResponse(inputs=request.news, failures=_failures(config.problems(self._package, values)))

    def DiffConfig(self, request: pb.DiffRequest, context: grpc.ServicerContext) -> pb.DiffResponse:  # noqa: N802
        (old, _), (new, _) = decode(request.olds), decode(request.news)
        replaces = ["region"] if old.get("region") != new.get("region") else []
        return pb.DiffResponse(
            changes=pb.DiffResponse.DIFF_SOME if replaces else pb.DiffResponse.DIFF_NONE, replaces=replaces
        )

    def Configure(self, request: pb.ConfigureRequest, context: grpc.ServicerContext) -> pb.ConfigureResponse:  # noqa: N802
        if self._package == "aws":
            self._api = Api(config.region(decode(request.args)[0]))
        return pb.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: pb.CheckRequest, context: grpc.ServicerContext) -> pb.CheckResponse:  # noqa: N802
        kind, shape = self._known(request.urn)
        old, _ = decode(request.olds)
        new, secret = decode(request.news)
        inputs = fill(kind, new, old, request.urn.rpartition("::")[2], request.randomSeed)
        return pb.CheckResponse(inputs=encode(inputs, secret), failures=_failures(check(kind, shape, inputs)))

    def Diff(self, request: pb.DiffRequest, context: grpc.ServicerContext) -> pb.DiffResponse:  # noqa: N802
        kind, _ = self._known(request.urn)
        (old, _), (new, _) = decode(request.old_inputs), decode(request.news)
        # Check fills in defaults after the engine put back what is to be ignored: a provider heeds the list as well.
        ignored = frozenset(request.ignoreChanges)
        found = [each for each in diff(kind, old, new) if ignored.isdisjoint({each.name, each.path})]
        kinds = {"add": "ADD", "delete": "DELETE", "update": "UPDATE"}
        detail = {
            each.path: pb.PropertyDiff(
                kind=pb.PropertyDiff.Kind.Value(kinds[each.how] + ("_REPLACE" if each.replace else "")), inputDiff=True
            )
            for each in found
        }
        return pb.DiffResponse(
            changes=pb.DiffResponse.DIFF_SOME if found else pb.DiffResponse.DIFF_NONE,
            diffs=sorted({each.name for each in found}),
            replaces=sorted({each.name for each in found if each.replace}),
            detailedDiff=detail,
            hasDetailedDiff=True,
            deleteBeforeReplace=_must_go_first(kind, old, new),
        )

    def Create(self, request: pb.CreateRequest, context: grpc.ServicerContext) -> pb.CreateResponse:  # noqa: N802
        kind, shape = self._known(request.urn)
        inputs, secret = decode(request.properties)
        secret |= kind.secret
        if request.preview:
            foreseen = dict.fromkeys(shape.computed, UNKNOWN) | _plain_tags(shape, inputs) | inputs
            return pb.CreateResponse(properties=encode(foreseen, secret))
        api = self._region(inputs)
        identifier = kind.create(api, inputs)
        state = self._settle(kind, shape, api, identifier, inputs, secret)
        return pb.CreateResponse(id=identifier, properties=encode(state, secret))

    def _settle(
        self, kind: ResourceType, shape: Shape, api: Api, identifier: str, inputs: Json, secret: frozenset[str]
    ) -> Json:
        """The state after a creation; what failed after the resource existed is told to the engine with its state."""
        try:
            if kind.finish is not None:
                kind.finish(api, identifier, inputs)
            return _state(kind, shape, api, identifier, inputs)
        except ProviderError as failed:
            raise UnfinishedError(identifier, inputs, inputs, secret, str(failed)) from failed

    def Read(self, request: pb.ReadRequest, context: grpc.ServicerContext) -> pb.ReadResponse:  # noqa: N802
        kind, shape = self._known(request.urn)
        (inputs, secret), (state, secret_state) = decode(request.inputs), decode(request.properties)
        api = self._region(inputs or state)
        actual = kind.read(api, request.id, inputs or state)
        if actual is None:
            return pb.ReadResponse()
        known = {entry.name for entry in shape.inputs} & kind.known
        now = project(inputs, actual) if inputs else {name: actual[name] for name in known if actual.get(name)}
        held = secret | secret_state | kind.secret
        outputs = _outputs(shape, api, actual, now)
        return pb.ReadResponse(id=request.id, properties=encode(outputs, held), inputs=encode(now, held))

    def Update(self, request: pb.UpdateRequest, context: grpc.ServicerContext) -> pb.UpdateResponse:  # noqa: N802
        kind, shape = self._known(request.urn)
        (old, _), (state, secret_state) = decode(request.old_inputs), decode(request.olds)
        new, secret = decode(request.news)
        secret |= kind.secret | (secret_state - frozenset(new))
        names = frozenset(each.name for each in diff(kind, old, new))
        if request.preview:
            given = {entry.name for entry in shape.inputs}
            kept = {name: value for name, value in state.items() if name not in given or name in shape.computed}
            restated = kind.restated if names - {"tags"} else frozenset[str]()
            foreseen = kept | dict.fromkeys(restated, UNKNOWN) | _plain_tags(shape, new) | new
            return pb.UpdateResponse(properties=encode(foreseen, secret))
        api = self._region(new)
        try:
            resume = kind.resume or kind.finish
            # Nothing differs: the engine asks once more for what a creation left unfinished.
            if resume is not None and not names:
                resume(api, request.id, new)
            kind.update(api, Change(id=request.id, old=old, new=new, state=state, names=names))
        except NotReadyError as failed:
            raise UnfinishedError(request.id, {**state, **new}, new, secret, str(failed)) from failed
        return pb.UpdateResponse(properties=encode(_state(kind, shape, api, request.id, new), secret))

    def Delete(self, request: pb.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        kind, _ = self._known(request.urn)
        state, _ = decode(request.properties)
        found(lambda: kind.delete(self._region(state), request.id, state))
        return empty_pb2.Empty()

    def Invoke(self, request: pb.InvokeRequest, context: grpc.ServicerContext) -> pb.InvokeResponse:  # noqa: N802
        function = self._functions.get(request.tok)
        if function is None:
            raise NotSupportedError(
                f"the lab's provider has no such function; it has {', '.join(sorted(self._functions))}"
            )
        shape = shapes()[request.tok]
        arguments: Json = {name: value for name, value in decode(request.args)[0].items() if value is not None}
        problems = list(check_properties(shape.inputs, arguments, ""))
        problems += [
            Problem(name, "the lab's provider does not carry out this argument")
            for name in sorted(arguments.keys() - function.known - {problem.path for problem in problems})
        ]
        if problems:
            return pb.InvokeResponse(failures=_failures(problems))
        response = pb.InvokeResponse()
        unknown = holds_unknown(arguments)
        result = dict.fromkeys(shape.outputs, UNKNOWN) if unknown else function.call(self._region(arguments), arguments)
        getattr(response, "return").CopyFrom(encode(result))  # a keyword of Python
        return response

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        return empty_pb2.Empty()

    def _known(self, urn: str) -> tuple[ResourceType, Shape]:
        token = urn.split("::")[2].rpartition("$")[2]
        kind = self._resources.get(token)
        if kind is None:
            raise NotSupportedError(
                f"the lab's provider does not know this type; it knows {', '.join(self._resources)}"
            )
        return kind, shapes()[token]

    def _region(self, values: Json) -> Api:
        """Of a resource's own `region`, else the provider's."""
        region = values.get("region")
        if not isinstance(region, str) or region == self._api.region:
            return self._api
        return self._apis.setdefault(region, Api(region))


def _failures(problems: list[Problem]) -> list[pb.CheckFailure]:
    return [pb.CheckFailure(property=problem.path, reason=f"{problem.path}: {problem.reason}") for problem in problems]


def _must_go_first(kind: ResourceType, old: Json, new: Json) -> bool:
    """Whether two at once can't be: always for some types, else where the name that was asked for stays the same."""
    return kind.delete_before_replace or bool(kind.named and old.get(kind.named) == new.get(kind.named))


def _plain_tags(shape: Shape, inputs: Json) -> Json:
    """`tagsAll` is known in a preview: the provider's configuration adds none."""
    return {"tagsAll": inputs.get("tags", {})} if "tagsAll" in shape.outputs else {}


def _state(kind: ResourceType, shape: Shape, api: Api, identifier: str, inputs: Json) -> Json:
    actual = kind.read(api, identifier, inputs)
    if actual is None:
        raise NotReadyError(f"{identifier} was made, but is not found now")
    return _outputs(shape, api, actual, inputs)


def _outputs(shape: Shape, api: Api, actual: Json, inputs: Json) -> Json:
    """What was read, with the inputs as they were written."""
    constant: Json = {"region": api.region} if "region" in shape.outputs else {}
    found = {name: value for name, value in actual.items() if value is not None and name in shape.outputs}
    return constant | found | _plain_tags(shape, {**found, **inputs}) | inputs
