#!/usr/bin/env bash
# onnxruntime 1.32.0: the Linux wheel keeps telemetry, from the import on.
#
# Seen (1.23.2 leaves nothing; its telemetry was Windows' only):
#   1. `import onnxruntime` alone makes a database below ~/.cache, in a folder that does not begin with onnxruntime's
#      name, and a file `.ses` with the time and a random identity in the folder for temporary files.
#   2. `disable_telemetry_events()`, the API's switch, comes too late for both: it can only be called after the import.
#   3. With ORT_DISABLE_TELEMETRY=1 in the environment before it, neither is made.
# So an export that checks its file with ONNX Runtime tells of its user, unless the process was started with the switch.
#
# Output: see EXPECTED below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/look.py" <<'END'
import os
import sys
from pathlib import Path

import onnxruntime

if sys.argv[1] == "api":
    onnxruntime.disable_telemetry_events()
home, temporary = Path(os.environ["HOME"]), Path(os.environ["TMPDIR"])
# a database may have companions, which come and go
files = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file() and path.suffix == ".db"}
files |= {f"TMPDIR/{path.name}" for path in temporary.iterdir()}
print(onnxruntime.__version__, sys.argv[1], "-", " ".join(sorted(files)) or "nothing")
END
for version in 1.23.2 1.32.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet "onnxruntime==$version" 2> /dev/null
    for way in plain api environment; do
        mkdir -p "$work/$version-$way/home" "$work/$version-$way/tmp"
        switch=""
        [ "$way" = environment ] && switch="ORT_DISABLE_TELEMETRY=1"
        env -u XDG_CACHE_HOME $switch HOME="$work/$version-$way/home" TMPDIR="$work/$version-$way/tmp" \
            "$work/$version/bin/python" "$work/look.py" "$way" >> "$work/seen"
    done
done
cat > "$work/EXPECTED" <<'END'
1.23.2 plain - nothing
1.23.2 api - nothing
1.23.2 environment - nothing
1.32.0 plain - .cache/Microsoft/DeveloperTools/.onnxruntime/onnxruntime.db TMPDIR/.ses
1.32.0 api - .cache/Microsoft/DeveloperTools/.onnxruntime/onnxruntime.db TMPDIR/.ses
1.32.0 environment - nothing
END
cat "$work/seen"
diff "$work/EXPECTED" "$work/seen" && echo "as described"
