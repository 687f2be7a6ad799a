"""The lab's data plane: a topology made of network namespaces."""

from lab.fabric.fabric import Fabric
from lab.fabric.kernel import FabricError

__all__ = ["Fabric", "FabricError"]
