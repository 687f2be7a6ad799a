"""The registry's keys: the partition key carries kind, state and tenant, because IAM sees keys and never contents.

Every name is made here and nowhere else: the gateways' roles, the managed policies and the table's readers and
writers all take them from this file. `{}` in the comments stands for what the functions fill in.
"""

PARTITION, SORT = "pk", "sk"
# The table's time-to-live attribute (epoch seconds): deletes at last what is expired by then anyway.
TTL = "ttl"

# One item, (DEFINITION, "definition"): what the environment is (definition.py). Written by the deployer alone.
# Its attribute DEFINITION_JSON holds definition_to_json's text.
DEFINITION, DEFINITION_SORT, DEFINITION_JSON = "environment", "definition", "json"
# (IDENTITY, "service" | "way#SLOT"): who won the race for an identity; names the secret's version. Written by gateways.
IDENTITY = "identity"
# (META, TENANT): the tenant's generation. A hint to fetch, and no more.
META = "meta"
# (KEY, PUBLIC_KEY): a public key is used once, in all tenants and for ever.
KEY = "key"
# (SWITCH, "shard#N"): which gateway somebody asked to serve; acted on once, when it changes.
SWITCH = "switch"
# (ROTATION, "service" | "way#SLOT"): the identity's last rotation, and until when the old one is served.
ROTATION = "rotation"
# (LAUNCH, SLOT): the digest of the template that the slot's group launches, and when gateways may replace themselves.
# Written by the deployer alone, after the group.
LAUNCH = "launch"
# (ROLLING, "lease"): the machine that is being replaced, or was last. Written by gateways.
ROLLING = "rolling"

# The encryption context of a tenant's data key, which policies name.
CONTEXT_ENVIRONMENT, CONTEXT_TENANT = "twinlock-environment", "twinlock-tenant"


def pending(tenant: str) -> str:
    """Enrolled, not yet approved; sort key: the peer's name."""
    return f"pending#{tenant}"


def peer(tenant: str) -> str:
    """Approved: what gateways serve; sort key: the peer's name."""
    return f"peer#{tenant}"


def revoked(tenant: str) -> str:
    """Was a peer once; sort key: name#PUBLIC_KEY."""
    return f"revoked#{tenant}"


def address_lease(tenant: str) -> str:
    """One item for each leased tunnel address; sort key: the address."""
    return f"lease#{tenant}"


def change(tenant: str) -> str:
    """What a generation changed (the names of peers), kept 7 days; sort key: the generation, 12 digits."""
    return f"change#{tenant}"


def gateway(slot: str) -> str:
    """A gateway's own record and heartbeat; sort key: "record". Written by that slot's gateway alone."""
    return f"gateway#{slot}"


def data_key(tenant: str) -> str:
    """The tenant's data keys, sealed by KMS; sort key: the number, 6 digits. Made by gateways."""
    return f"datakey#{tenant}"


def ways(slot: str) -> str:
    """Where a gateway's clients are, in pieces; sort key: the first character of their keys. For gateways alone."""
    return f"ways#{slot}"


def traffic(slot: str) -> str:
    """What a gateway counted of its peers' packets; sort key: which piece (traffic.py). Written by it alone."""
    return f"traffic#{slot}"


def shard(number: int) -> str:
    """Who serves a shard; sort key: "lease". Written by gateways."""
    return f"shard#{number}"


def moved(identity: str) -> str:
    """Which peers were seen on an identity that is to replace another; sort key: the peer's public key."""
    return f"moved#{identity}"


def enrolment(who: str) -> str:
    """That WHO (an AWS unique user id) enrolled a peer; sort key: tenant#name#PUBLIC_KEY. IAM binds WHO."""
    return f"enrolment#{who}"


def approval(who: str) -> str:
    """That WHO approved a peer; sort key: tenant#name#PUBLIC_KEY. IAM binds WHO; gateways count these."""
    return f"approval#{who}"


def audit(who: str) -> str:
    """What WHO did, for reading (the authority is the cloud's own log); sort key: time#unique."""
    return f"audit#{who}"
