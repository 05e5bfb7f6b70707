"""The process of a site's SuperNode: ``python -m fedlab.deploy.supernode_process``."""

from __future__ import annotations

import sys

from fedlab.deploy.flower.supernode import serve_supernode
from fedlab.deploy.processes import end_with_party

if __name__ == "__main__":
    end_with_party()
    serve_supernode(sys.argv[1:])
