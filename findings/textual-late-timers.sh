#!/usr/bin/env bash
# textual 8.2.8: a timer that is to fire once, and is late when it begins, never fires.
#
# Timers skip the beats that they have missed, which keeps those that repeat from piling up. Those of `set_timer` do the
# same: where the process was not scheduled for longer than the delay between two lines of the timer's task, the only
# beat is skipped, and the callback is never called. So it goes with a delay that is what two clocks have left of some
# time, as with `set_timer(max(0, due - now), …)`: with 0 the task ends in a ZeroDivisionError that only asyncio tells, to
# nobody as a rule, and with a ten-millionth of a second it ends without a word. asyncio's own `call_later` calls with
# any delay.
#
# What helps: to call at once where nothing is left, or `timer._skip = False` in an override of `set_timer`.
#
# Output: see EXPECTED below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet textual==8.2.8 2> /dev/null
cat > "$work/look.py" <<'END'
import asyncio

from textual.app import App

DELAYS = (0, 1e-7, 0.05)
fired, called = set(), set()


class Timers(App):
    def on_mount(self):
        for delay in DELAYS:
            self.set_timer(delay, lambda delay=delay: fired.add(delay))
            asyncio.get_running_loop().call_later(delay, called.add, delay)
        self.set_timer(1.0, self.exit)


Timers().run(headless=True)
for delay in DELAYS:
    print(f"{delay} s: textual {'calls' if delay in fired else 'never calls'},", end=" ")
    print(f"asyncio {'calls' if delay in called else 'never calls'}")
END
"$work/env/bin/python" "$work/look.py" > "$work/seen" 2> /dev/null
cat > "$work/EXPECTED" <<'END'
0 s: textual never calls, asyncio calls
1e-07 s: textual never calls, asyncio calls
0.05 s: textual calls, asyncio calls
END
cat "$work/seen"
diff "$work/EXPECTED" "$work/seen" && echo "as described"
