"""The entry point of `pulumi preview --policy-pack policies`."""

import sys
from pathlib import Path

# The engine runs this file by its path, from any folder, also beside somebody else's program.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policies.pack import make

make()
