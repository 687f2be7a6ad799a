"""What becomes of a request: signed by whom, allowed or not, and answered by an override or the process behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.aws import call as calls
from lab.aws import refusals
from lab.aws.authorize import Verdict, authorize
from lab.aws.backends import Backend, BackendName, backend_of
from lab.aws.call import Answer, Call, Caller, Override, Source
from lab.aws.documents import malformed
from lab.aws.dynamodb import Tables
from lab.aws.forward import forward
from lab.aws.journal import Entry, Journal
from lab.aws.names import ACCOUNT
from lab.aws.principals import Directory, Signer, signer
from lab.aws.requests import Request
from lab.aws.resources import LiveResources
from lab.aws.signature import SignatureError
from lab.aws.streams import Streamed, Upload

LAB = Caller(arn=f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT, account=ACCOUNT, role_name=None, access_key="")
LOOPBACK = "127.0.0.1"  # the lab's own people call from there
_READS = ("Describe", "Get", "List", "Head", "Search", "Lookup", "Batch", "Query", "Scan", "Select", "Decrypt")
# Services whose writes may change who may do what.
_IDENTITIES = frozenset({"iam", "sts", "kms", "secretsmanager", "ec2"})


# Whether a call that was allowed is to fail all the same.
Refuse = Callable[[Call], bool]
# No SDK tries it again, unlike an InternalError.
FAULT_CODE = "ResourceUnavailable"


@dataclass
class Dispatcher:
    """Answers requests; shared by all the front's listeners and threads."""

    backends: Mapping[BackendName, Backend]
    directory: Directory
    journal: Journal
    tables: Tables
    resources: LiveResources
    overrides: dict[tuple[str, str], Override] = field(default_factory=dict[tuple[str, str], Override])
    listeners: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    slow: float = 0.0  # seconds that each call from a machine takes longer, but for S3's
    refuse: Refuse | None = None

    def signed(self, request: Request, body: bytes, upload: Upload | None, source: Source) -> Answer | Streamed:
        """For everyone: the signature is checked, and what the caller may do."""
        started = time.monotonic()
        if self.slow and request.service != "s3" and source.address != LOOPBACK:
            time.sleep(self.slow)
        if request.action is None:
            return calls.error(request.service, None, request.headers, "InvalidAction", f"no operation: {request}", 400)
        try:
            who = signer(request, body, self.directory.reading())
        except SignatureError as error:
            answer = refusals.unsigned(request.service, request.action, request.headers, error.code, str(error))
            self._log(request, source, None, Verdict(False, f"{error.code}: {error}"), answer.status, started)
            return answer
        call = _call(request, body, who.caller, source)
        verdict = authorize(call, who, self.resources)
        if verdict.allowed:
            answer = self._struck(call) or malformed(call, self.directory.reading())
            answer = answer or self._answer(call, request, upload)
        else:
            text = f"{who.caller.arn} is not allowed: {verdict.reason}"
            answer = refusals.denied(request.service, request.action, request.headers, text)
        self._log(request, source, who, verdict, answer.status, started)
        return answer

    def _struck(self, call: Call) -> Answer | None:
        """A fault that somebody asked for: nothing was done."""
        if self.refuse is None or not self.refuse(call):
            return None
        return calls.fault(call, FAULT_CODE, f"{call.action} is refused for a trial", 400)

    def trusted(self, request: Request, body: bytes, upload: Upload | None, source: Source) -> Answer | Streamed:
        """For the lab's own parts: nothing is checked."""
        if request.action is None:
            return calls.error(request.service, None, request.headers, "InvalidAction", f"no operation: {request}", 400)
        return self._answer(_call(request, body, LAB, source), request, upload)

    def changed(self) -> None:
        """Tells those who follow the cloud that something in it has changed."""
        for listener in tuple(self.listeners):
            listener()

    def forget(self, model: object = None, **_: object) -> None:
        """After a call that did not pass through here. Takes what botocore's after-call event brings."""
        if str(getattr(model, "name", "")).startswith(_READS):
            return
        self.directory.forget()
        self.resources.forget_buckets()

    def _answer(self, call: Call, request: Request, upload: Upload | None) -> Answer | Streamed:
        override = self.overrides.get((call.service, call.action))
        if override:
            answer: Answer | Streamed = override(call)
        elif call.service == "dynamodb":
            answer = self.tables.answer(call)
        else:
            answer = forward(self.backends[backend_of(call.service)].port, request, call.body, upload)
        if answer.status < 300 and not call.action.startswith(_READS):
            if call.service in _IDENTITIES:
                self.directory.forget()
            if call.service == "s3" and "Bucket" in call.action:
                self.resources.forget_buckets()
            if call.service in ("ec2", "autoscaling"):
                self.changed()
        return answer

    def _log(
        self, request: Request, source: Source, who: Signer | None, verdict: Verdict, status: int, started: float
    ) -> None:
        entry = Entry(
            service=request.service,
            action=request.action or "",
            caller=who.caller.arn if who else "anonymous",
            source=source.address,
            endpoint=source.endpoint,
            needs=verdict.needs,
            allowed=verdict.allowed,
            status=status,
            ms=round((time.monotonic() - started) * 1000, 1),
            reason=verdict.reason,
        )
        self.journal.write(entry)


def _call(request: Request, body: bytes, caller: Caller, source: Source) -> Call:
    return Call(
        service=request.service,
        action=request.action or "",
        region=request.region,
        caller=caller,
        headers=request.headers,
        method=request.method,
        path=request.path,
        query=request.query,
        body=body,
        source=source,
    )
