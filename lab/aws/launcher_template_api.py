"""EC2's actions that make launch templates: what AWS checks of them and moto does not."""

from __future__ import annotations

import base64
import binascii
import re

from lab.aws.launcher_values import Backend, Document, Handler, Refused, Result, number, record, text

# "CreateLaunchTemplate": 3 to 128 characters.
NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")
# "Run commands when you launch an EC2 instance with user data input": before it is base64-encoded.
USER_DATA_BYTES = 16384
# "LaunchTemplateInstanceMetadataOptionsRequest".
HOPS = range(1, 65)


class TemplateApi:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def handlers(self) -> dict[str, Handler]:
        return {"CreateLaunchTemplate": self.create, "CreateLaunchTemplateVersion": self.create_version}

    def create(self, asked: Document) -> Result:
        name = text(asked, "LaunchTemplateName")
        if not NAME.fullmatch(name):
            message = f"Launch template name {name!r} must have 3 to 128 characters of a-z, A-Z, 0-9 and ( ) . - / _"
            raise Refused("InvalidLaunchTemplateName.MalformedException", message)
        _check_data(record(asked, "LaunchTemplateData"))
        return dict(self._backend("ec2", "CreateLaunchTemplate", asked))

    def create_version(self, asked: Document) -> Result:
        _check_data(record(asked, "LaunchTemplateData"))
        return dict(self._backend("ec2", "CreateLaunchTemplateVersion", asked))


def _check_data(data: Document) -> None:
    given = text(data, "UserData")
    try:
        size = len(base64.b64decode(given, validate=True))
    except binascii.Error as exc:
        raise Refused("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from exc
    if size > USER_DATA_BYTES:
        message = f"User data is limited to {USER_DATA_BYTES} bytes; got {size}"
        raise Refused("InvalidUserData.Malformed", message)
    hops = number(record(data, "MetadataOptions"), "HttpPutResponseHopLimit", 1)
    if hops not in HOPS:
        message = f"A value of {hops} is not valid for HttpPutResponseHopLimit. Specify a value from 1 to 64."
        raise Refused("InvalidParameterValue", message)
