#!/usr/bin/env bash
# torch 2.15.0: torchrun looks into the options of the script that it starts, and hides how the script ended.
#
# Its documentation: torchrun … YOUR_TRAINING_SCRIPT.py (--arg1 … train script args …). Seen on Python 3.11:
#   1. An option of the script by which several of torchrun's begin (--log, --run, --node, --max, --m) is refused as an
#      ambiguous one of torchrun's, before the script starts. One that only one begins with, or one that torchrun has
#      itself (--tee, --log_d, --nproc-per-node), goes to the script. So a script that works under `python` and with one
#      of two options under torchrun does not with the other. `--` after the script's name helps: it is taken out.
#   2. A script that ends with 3 has torchrun end with 1; so has one that a SIGTERM to torchrun stopped, and that then
#      saved its work and ended with 0. A scheduler that goes by the status (Slurm's RequeueExit, systemd's
#      SuccessExitStatus) cannot tell these from a crash: the script has to leave word in a file.
#
# Output: see EXPECTED below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6 2> /dev/null
cd "$work"
cat > script.py <<'END'
import signal
import sys
import time
from pathlib import Path

print(sys.argv[1:])
if sys.argv[1] == "waits":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Path("ready").touch()
    time.sleep(60)
sys.exit(int(sys.argv[2]) if sys.argv[1] == "ends" else 0)
END
run() {
    status=0
    "$@" > out 2>&1 || status=$?
}
{
    for words in "--log x" "--run x" "--node x" "--tee x" "-- --log x"; do
        run env/bin/torchrun --nproc-per-node 1 script.py $words
        echo "torchrun script.py $words: $(grep -E "^\[|error: " out | sed 's/ could match.*//')"
    done
    run env/bin/torchrun --nproc-per-node 1 script.py ends 3
    echo "the script ends with 3: torchrun with $status"
    env/bin/torchrun --nproc-per-node 1 script.py waits > out 2>&1 &
    until [ -e ready ]; do sleep 0.2; done
    kill -TERM $!
    run wait $!
    echo "TERM, and the script ends with 0: torchrun with $status"
} > seen
cat > EXPECTED <<'END'
torchrun script.py --log x: torchrun: error: ambiguous option: --log
torchrun script.py --run x: torchrun: error: ambiguous option: --run
torchrun script.py --node x: torchrun: error: ambiguous option: --node
torchrun script.py --tee x: ['--tee', 'x']
torchrun script.py -- --log x: ['--log', 'x']
the script ends with 3: torchrun with 1
TERM, and the script ends with 0: torchrun with 1
END
cat seen
diff EXPECTED seen && echo "as described"
