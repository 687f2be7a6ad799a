"""Twinlock: a highly available pair of WireGuard gateways in front of private cloud storage."""

__version__ = "0.1.0"
