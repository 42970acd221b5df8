#!/usr/bin/env bash
# Optuna 5.0.0 (4.x alike): JournalStorage in a file, and a process that is killed while it writes there.
#
# Its documentation: "If the database crashes for any reason, the storage can re-establish the contents in memory by
# replaying the operations stored from the beginning."
#
# Seen:
#   1. A writer killed within its write leaves part of a line. It is read over at first, and `load_study` works. The
#      next thing that anybody writes is joined to that part, and from then on every open of the journal raises
#      JSONDecodeError, for good: all trials are lost to Optuna, though every other line is whole. (A full disk does
#      the same: a write that was cut short.)
#   2. A writer killed while it holds the lock: others wait half a minute and then take it away. But where the journal
#      was named by a relative path with a folder in it (runs/journal.log), the symbolic link that is the lock leads
#      nowhere, as its target is looked up from the folder of the link; `os.stat` of it fails, and they wait for ever,
#      with a core busy: the age of the lock is never looked at.
#
# Output: see EXPECTED below. Takes a minute. A good engineer would use the journal for what may be killed at any time,
# as its name and documentation suggest. Better: a lock of the system (flock) passed as `lock_obj`, which a killed
# holder loses, and a look at the last byte of the file with the lock taken, cutting off what is no whole line.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet optuna==5.0.0 2> /dev/null
cat > "$work/EXPECTED" <<'END'
part of a line: open: 1 trial
part of a line: ask: JSONDecodeError
after one more line: open: JSONDecodeError
after one more line, another process: open: JSONDecodeError
lock left behind, plain path: taken within 40 s
lock left behind, path with a folder: still waiting after 40 s, a core busy
END
cd "$work"
cat > torn.py <<'END'
import sys

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)


def study():
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend("journal.log")), study_name="a", load_if_exists=True
    )


def tried(what, work):
    try:
        print(f"{what}: {work()}", flush=True)
    except Exception as error:
        print(f"{what}: {type(error).__name__}", flush=True)


def count():
    return f"{len(study().trials)} trial"


if sys.argv[1] == "first":
    begun = study()
    begun.tell(begun.ask(), 1.0)
    with open("journal.log", "ab") as file:  # what a kill within the write of the next line leaves
        file.write(b'{"op_code":4,"worker_id":"x"')
    tried("part of a line: open", count)
    tried("part of a line: ask", lambda: study().ask().number)
    tried("after one more line: open", count)
else:
    tried("after one more line, another process: open", count)
END
cat > lock.py <<'END'
import os
import sys
import threading
import time

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
words, path = sys.argv[1:]
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
storage = JournalStorage(JournalFileBackend(path))
os.symlink(path, path + ".lock")  # what a holder that was killed leaves: it is made just so in `acquire`


def late():
    time.sleep(40)
    busy = time.process_time() > 5
    print(f"lock left behind, {words}: still waiting after 40 s{', a core busy' if busy else ''}", flush=True)
    os._exit(0)


threading.Thread(target=late, daemon=True).start()
optuna.create_study(storage=storage)
print(f"lock left behind, {words}: taken within 40 s", flush=True)
END
{
    venv/bin/python torn.py first
    venv/bin/python torn.py second
    venv/bin/python lock.py "plain path" ./plain.log
    venv/bin/python lock.py "path with a folder" folder/journal.log
} > seen 2> /dev/null
cat seen
diff EXPECTED seen && echo "as seen before"
