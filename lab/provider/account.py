"""Who and where: functions without a service of their own."""

from __future__ import annotations

from .api import Api
from .json_path import text
from .resource import Function, words
from .values import Json


def _caller(api: Api, _arguments: Json) -> Json:
    who = api.call("sts", "get_caller_identity")
    account = text(who, "Account")
    return {"accountId": account, "arn": text(who, "Arn"), "id": account, "userId": text(who, "UserId")}


def _partition(api: Api, _arguments: Json) -> Json:
    suffix = "amazonaws.com.cn" if api.partition == "aws-cn" else "amazonaws.com"
    backwards = ".".join(reversed(suffix.split(".")))
    return {"partition": api.partition, "id": api.partition, "dnsSuffix": suffix, "reverseDnsPrefix": backwards}


FUNCTIONS = (
    Function(token="aws:index/getCallerIdentity:getCallerIdentity", known=words(""), call=_caller),  # noqa: S106
    Function(token="aws:index/getPartition:getPartition", known=words(""), call=_partition),  # noqa: S106
)
