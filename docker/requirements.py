"""Print what pyproject.toml requires for the extra named on the command line, one a line."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
print("\n".join(project["dependencies"] + project["optional-dependencies"][sys.argv[1]]))
