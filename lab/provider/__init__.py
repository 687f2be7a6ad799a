"""Provider plugins `aws` and `random` for the Pulumi engine, for where the real ones are not installed.

They know the resource types of this program and refuse everything else: an unknown type, property or combination is an
error that names it, so what passes here has the form that the cloud takes.
"""
