"""The provider's servicer, called as the engine calls it: check, preview, create, diff, update, refresh, delete."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2 as pb

from lab.provider.servicer import Provider
from lab.provider.values import Json, decode, encode

SEED = b"a seed of the engine"


class RefusedError(Exception):
    """Check found problems: {path: reason}."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(str(problems))
        self.problems = problems


@dataclass
class Made:
    token: str
    name: str
    id: str
    inputs: Json
    outputs: Json
    secret: frozenset[str] = field(default_factory=frozenset)


class Engine:
    def __init__(self, package: str = "aws") -> None:
        self.provider = Provider(package, "up")
        self.provider.Configure(pb.ConfigureRequest(args=encode({"region": "eu-west-1"})), None)

    @staticmethod
    def urn(token: str, name: str) -> str:
        return f"urn:pulumi:test::twinlock::{token}::{name}"

    def check(
        self, token: str, inputs: Json, old: Json | None = None, name: str = "it", secret=()
    ) -> struct_pb2.Struct:
        request = pb.CheckRequest(
            urn=self.urn(token, name), news=encode(inputs, secret), olds=encode(old or {}), randomSeed=SEED
        )
        answer = self.provider.Check(request, None)
        if answer.failures:
            raise RefusedError({failure.property: failure.reason for failure in answer.failures})
        return answer.inputs

    def problems(self, token: str, inputs: Json) -> dict[str, str]:
        try:
            self.check(token, inputs)
        except RefusedError as refused:
            return refused.problems
        return {}

    def preview(self, token: str, inputs: Json, name: str = "it") -> Json:
        checked = self.check(token, inputs, name=name)
        answer = self.provider.Create(
            pb.CreateRequest(urn=self.urn(token, name), properties=checked, preview=True), None
        )
        assert answer.id == ""
        return decode(answer.properties)[0]

    def create(self, token: str, inputs: Json, name: str = "it", secret=()) -> Made:
        checked = self.check(token, inputs, name=name, secret=secret)
        answer = self.provider.Create(pb.CreateRequest(urn=self.urn(token, name), properties=checked), None)
        outputs, hidden = decode(answer.properties)
        return Made(token, name, answer.id, decode(checked)[0], outputs, hidden)

    def diff(self, made: Made, inputs: Json, *, ignored: tuple[str, ...] = ()) -> pb.DiffResponse:
        news = self.check(made.token, inputs, made.inputs, made.name)
        return self.provider.Diff(
            pb.DiffRequest(
                id=made.id,
                urn=self.urn(made.token, made.name),
                olds=encode(made.outputs),
                old_inputs=encode(made.inputs),
                news=news,
                ignoreChanges=ignored,
            ),
            None,
        )

    def update(self, made: Made, inputs: Json, *, preview: bool = False) -> Made:
        news = self.check(made.token, inputs, made.inputs, made.name)
        request = pb.UpdateRequest(
            id=made.id,
            urn=self.urn(made.token, made.name),
            olds=encode(made.outputs),
            old_inputs=encode(made.inputs),
            news=news,
            preview=preview,
        )
        outputs, hidden = decode(self.provider.Update(request, None).properties)
        return Made(made.token, made.name, made.id, decode(news)[0], outputs, hidden)

    def refresh(self, made: Made) -> Made | None:
        """None when it is gone."""
        request = pb.ReadRequest(
            id=made.id,
            urn=self.urn(made.token, made.name),
            properties=encode(made.outputs),
            inputs=encode(made.inputs),
        )
        return self._read(request, made)

    def get(self, token: str, identifier: str) -> Made | None:
        """As `Vpc.get` and the import option do: only the id is known."""
        request = pb.ReadRequest(id=identifier, urn=self.urn(token, "it"))
        return self._read(request, Made(token, "it", identifier, {}, {}))

    def _read(self, request: pb.ReadRequest, made: Made) -> Made | None:
        answer = self.provider.Read(request, None)
        if not answer.id:
            return None
        outputs, hidden = decode(answer.properties)
        return Made(made.token, made.name, answer.id, decode(answer.inputs)[0], outputs, hidden)

    def delete(self, made: Made) -> None:
        request = pb.DeleteRequest(id=made.id, urn=self.urn(made.token, made.name), properties=encode(made.outputs))
        self.provider.Delete(request, None)

    def invoke(self, token: str, arguments: Json) -> Json:
        answer = self.provider.Invoke(pb.InvokeRequest(tok=token, args=encode(arguments)), None)
        if answer.failures:
            raise RefusedError({failure.property: failure.reason for failure in answer.failures})
        return decode(getattr(answer, "return"))[0]
