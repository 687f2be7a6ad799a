"""The lab's machines: containers that boot like an instance."""

from lab.machines.machines import MachineError, Machines

__all__ = ["MachineError", "Machines"]
