#!/usr/bin/env bash
# safetensors 0.8.0: save_file does not write into the file that it is given, it puts another in its place.
#
# Seen, with umask 022 (0.7.0 opened the file and wrote into it: mode 644, the link and the hard link kept):
#   1. A new file has mode 600, whatever the umask: nobody else on a shared disk can load the weights.
#   2. An existing file of mode 664 has 600 afterwards, and is another file: a hard link keeps the old weights.
#   3. A symbolic link, to a larger disk say, is replaced by a file in its own folder; what it led to stays as it was.
#
# Output: see EXPECTED below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/look.py" <<'END'
import os
import sys

import numpy as np
import safetensors
from safetensors.numpy import save, save_file

os.umask(0o022)
os.chdir(sys.argv[1])
before, after = {"w": np.zeros(3, np.float32)}, {"w": np.ones(3, np.float32)}


def mode(name):
    return f"{os.stat(name).st_mode & 0o777:o}"


def old(name):
    return open(name, "rb").read() == save(before)


save_file(before, "new")
with open("shared", "wb") as file:
    file.write(save(before))
os.chmod("shared", 0o664)
os.link("shared", "hard")
save_file(after, "shared")
os.mkdir("disk")
with open("disk/real", "wb") as file:
    file.write(save(before))
os.symlink("disk/real", "link")
save_file(after, "link")
print(safetensors.__version__, "new:", mode("new"))
print(safetensors.__version__, "over 664:", mode("shared"), "hard link has the", "old" if old("hard") else "new")
print(safetensors.__version__, "link is a", "link" if os.path.islink("link") else "file", "and leads to the",
      "old" if old("disk/real") else "new")
END
for version in 0.7.0 0.8.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet "safetensors==$version" numpy==2.4.6 2> /dev/null
    mkdir "$work/in-$version"
    "$work/$version/bin/python" "$work/look.py" "$work/in-$version" >> "$work/seen"
done
cat > "$work/EXPECTED" <<'END'
0.7.0 new: 644
0.7.0 over 664: 664 hard link has the new
0.7.0 link is a link and leads to the new
0.8.0 new: 600
0.8.0 over 664: 600 hard link has the old
0.8.0 link is a file and leads to the old
END
cat "$work/seen"
diff "$work/EXPECTED" "$work/seen" && echo "as described"
