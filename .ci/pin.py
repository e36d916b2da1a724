"""Pin the newest versions of everything, for every supported Python, into [tool.uv] of pyproject.toml."""

import re
import subprocess
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
#: Only what a plain `uv run` installs; the peers and CUDA wheels follow their own pace.
INSTALLED = [f"--group={name}" for name in ("test", "lint", "docs")]
INSTALLED += [f"--extra={name}" for name in ("bench", "equinox", "flax")]


def main() -> None:
    """Resolve without the present pins, and write the result."""
    text = PYPROJECT.read_text(encoding="utf-8")
    unpinned = re.sub(r"constraint-dependencies = \[.*?\]\n", "", text, flags=re.DOTALL)
    PYPROJECT.write_text(unpinned, encoding="utf-8")
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "pyproject.toml"]
    command += [*INSTALLED, "--no-header", "--no-annotate", "--no-emit-index-url"]
    try:
        resolved = subprocess.run(command, cwd=PYPROJECT.parent, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        PYPROJECT.write_text(text, encoding="utf-8")
        raise SystemExit(error.stderr) from error
    pins = [line.strip().replace('"', "'") for line in resolved.stdout.splitlines() if "==" in line]
    block = "constraint-dependencies = [\n" + "".join(f'    "{pin}",\n' for pin in pins) + "]\n"
    PYPROJECT.write_text(unpinned.replace("[tool.uv]\n", f"[tool.uv]\n{block}"), encoding="utf-8")


if __name__ == "__main__":
    main()
