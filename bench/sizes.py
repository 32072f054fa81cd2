"""The largest files and functions; fails over the hard limits of the style guide."""

import ast
import subprocess
import sys
from pathlib import Path

FILE_LIMIT, FUNCTION_LIMIT, SHOWN = 500, 60, 10


def _functions(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            found.append((node.end_lineno - node.lineno + 1, f"{path}:{node.lineno} {node.name}"))
    return found


def main() -> int:
    """Prints both lists; 1 where something is over a limit."""
    listed = subprocess.run(["git", "ls-files", "*.py"], check=True, capture_output=True, text=True).stdout
    paths = [Path(line) for line in listed.split() if not line.startswith("tests/")]
    files = sorted(((len(path.read_text().splitlines()), str(path)) for path in paths), reverse=True)
    functions = sorted((entry for path in paths for entry in _functions(path)), reverse=True)
    for title, entries in (("files", files), ("functions", functions)):
        print(f"largest {title}")
        for lines, name in entries[:SHOWN]:
            print(f"  {lines:5} {name}")
    return int(files[0][0] > FILE_LIMIT or functions[0][0] > FUNCTION_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
