"""An app that knows its terminal: frames, pixels, other terminals in its place, and keys that are text."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual import events
from textual.signal import Signal

from tui_gen.app.terminal.private import CompositorUpdate, HookedApp, TerminalDriver
from tui_gen.app.terminal.turns import LOOK, Passed, Turns, Typed
from tui_gen.app.terminal.wire import Wire
from tui_gen.draw.signals import ENDING

if TYPE_CHECKING:
    from textual.driver import Driver
    from textual.events import Resize
    from textual.filter import LineFilter
    from textual.screen import Screen
    from textual.timer import Timer
    from textual.widget import Widget

    from tui_gen.app.terminal.taken import TakenScreen
    from tui_gen.draw.terminal import Terminal

SETTLE = 0.3
"""Seconds without another size after which a window is no longer being dragged."""
ASKING = 0.5
"""Seconds for the answers of a terminal that is asked again, at least; on a slow link longer."""


class TerminalApp(HookedApp):
    """An app whose `wire` hears of every frame; `terminal` is what the terminal answered before the app started.
    A base class, as Textual asks the app itself for its driver and its filters, and calls its handlers of frames, keys
    and sizes.

    `terminal_changed_signal` tells that it answered otherwise when it was asked again. What is typed goes to the
    focused widget's `take(event)` first, where it has one; True: that was text. Here and at once, as several keys may
    come in one read: sent to the widget like others, a character that begins an edit would be overtaken by those after
    it, which go to the editor.
    """

    def __init__(self, terminal: Terminal | None = None, taken: TakenScreen | None = None) -> None:
        self.terminal = terminal
        self.taken = taken
        """The screen, where it was taken before; it is taken over."""
        super().__init__()
        self.wire = Wire(self)
        self.terminal_changed_signal: Signal[Terminal] = Signal(self, "terminal-changed")
        self._settled_size: object = None
        self._size_signals = 0
        self._settling: Timer | None = None
        self._turns = Turns(self)
        self._looking_for_turns = False

    def on_load(self) -> None:
        """Hear the signals, before the terminal is set to anything: it must be set back."""
        if self.is_headless:
            return
        loop = asyncio.get_running_loop()
        for number in ENDING:
            if number == signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                with contextlib.suppress(RuntimeError, ValueError, OSError):  # not in the main thread, say
                    loop.add_signal_handler(number, self.hang_up if number == signal.SIGHUP else self.leave)

    @property
    def slow_link(self) -> bool:
        """Whether what is drawn takes long to arrive. Override where that is known."""
        return False

    def leave(self) -> None:
        """Somebody wants the app to end. Override where that takes more."""
        self.exit()

    def hang_up(self) -> None:
        """The terminal is gone: there is nobody to tell and nothing to restore. From any thread."""
        os._exit(128 + signal.SIGHUP)

    def on_mount(self) -> None:
        """Pictures do not survive a suspend; another screen is whose turn it is."""
        self.app_resume_signal.subscribe(self, lambda _app: self.wire.forget(), immediate=True)
        self.screen_change_signal.subscribe(self, self._screen_changed, immediate=True)

    def on_resize(self, event: Resize) -> None:
        """Another size; where it stays the same, somebody has attached to a session that was detached."""
        self.wire.drop()
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLE, self._settled)

    def _settled(self) -> None:
        before, self._settled_size = self._settled_size, self.size
        driver, signals = self.terminal_driver, self._size_signals
        self._size_signals = driver.size_signals if driver is not None else 0
        if not self.screen_stack or signals == self._size_signals:
            return  # the app was left meanwhile; or a size that nobody changed, as at the start
        if before == self.size:
            self.action_redraw()
        else:
            self._renew(screen=False)

    async def on_event(self, event: events.Event) -> None:
        """Text before keys; no clicks on what is gone."""
        if isinstance(event, events.MouseDown | events.MouseMove) and self._gone_under(event):
            return
        if not isinstance(event, Typed) or event.is_forwarded:
            await super().on_event(event)
        elif not self._turns.hold(event):
            await self._type(event)
        elif not self._looking_for_turns:
            self._looking_for_turns = True
            self.set_timer(LOOK, self._look_for_turns)

    async def _type(self, event: Typed) -> None:
        """Hand on what was typed."""
        take = getattr(self.focused, "take", None)
        if isinstance(event, events.Key) and take is not None and take(event):
            return
        target = self.focused or self.screen
        await super().on_event(event)
        if event.is_forwarded and target.is_attached and not _is_text(event, target):
            busy = getattr(target.screen, "is_long", None)
            if busy is not None and busy(event):
                self._turns.wait_for(target.screen)
            else:
                self._turns.went_to(target)

    def on_passed(self, message: Passed) -> None:
        """A key has come up; the focus that it gives to something is given later."""
        message.stop()
        self.call_later(self._after_key, message.target)

    async def _after_key(self, target: Widget) -> None:
        self._turns.passed(target)
        await self._type_on()

    def hold_keys_until(self, target: Widget) -> None:
        """Hold back what is typed until this widget has done what it has to do now. A screen whose `is_long(event)`
        says that what it does with a key takes time has all of it held back until it says this, or is gone.
        """
        self._turns.went_to(target)

    def _screen_changed(self, screen: Screen[Any]) -> None:
        """Keys go to another screen, once it has its focus."""
        self._turns.went_to(screen)
        self.call_next(self._type_on)

    async def _type_on(self) -> None:
        """Hand on what has waited for its turn."""
        while self.screen_stack and (event := self._turns.due()) is not None:
            await self._type(event)

    async def _look_for_turns(self) -> None:
        self._looking_for_turns = False
        await self._type_on()
        if self._turns.waiting:
            self._looking_for_turns = True
            self.set_timer(LOOK, self._look_for_turns)

    def _gone_under(self, event: events.MouseEvent) -> bool:
        """Whether what the mouse is on was taken away, and the screen not laid out since. Textual looks there for text
        that is selected, and for what that text is in, which is nothing.
        """
        widget = self.screen.get_widget_and_offset_at(event.x, event.y)[0] if self.screen_stack else None
        return widget is not None and widget.parent is None

    def capture_mouse(self, widget: Widget | None) -> None:
        """As Textual does; whoever drags something selects no text on the way. Scroll bars leave what is selected."""
        super().capture_mouse(widget)
        if widget is not None and self.screen_stack and not widget.has_class("-textual-system"):
            self.screen.clear_selection()

    def drawing(self, screen: Screen[Any], renderable: Any) -> Any:
        """Only what changes on the terminal is sent to it."""
        before = self.wire.drawn_size
        self.wire.painting(None if self.batching else renderable, screen, self.size)
        if self.wire.drawn_size != before:
            self.wire.forget()
        if isinstance(renderable, CompositorUpdate) and self.wire.real and not self.batching:
            cells = self.size.width * self.size.height
            renderable = self.wire.screenful.reduce(renderable, cells, self.console)
        self.wire.writing(renderable)
        return renderable

    def drawn(self) -> None:
        """Textual has drawn (or skipped) a frame."""
        self.wire.drawn()

    def action_redraw(self) -> None:
        """Draw the screen anew, after another program has written on it, or on another terminal than before."""
        self.wire.drop()
        self._renew()
        self._ask_again()
        self.wire.forget()
        self.screen.refresh()

    def _renew(self, screen: bool = True) -> None:
        if self.wire.real and self.terminal_driver is not None:
            self.terminal_driver.renew(screen)

    def _ask_again(self) -> None:
        """Ask what the terminal can show now; one that does not answer is taken for the one before."""
        before, driver = self.terminal, self.terminal_driver
        if before is None or driver is None or not self.wire.real:
            return
        from tui_gen.draw.terminal import probe

        budget = min(2.0, max(ASKING, 4 * (before.round_trip or 0.0)))
        answer = driver.ask_again(lambda: probe(before.choice, budget=budget))
        if answer is None or (before.answered and not answer.answered):
            return
        self.terminal = answer
        if answer.colours != before.colours and answer.colours:
            self._recolour(answer.colours)
        self.terminal_changed_signal.publish(answer)

    def _recolour(self, colours: str) -> None:
        """So many colours from now on."""
        self.color_system = colours
        self.refresh_css(animate=False)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and ours for terminals that have no frames."""
        filters = super().get_line_filters()
        if self.terminal is None or self.terminal.unicode:
            return filters
        from tui_gen.app.terminal.bare import AsciiFilter

        return [*filters, AsciiFilter()]

    def get_driver_class(self) -> type[Driver]:
        """Ours, unless the user names one."""
        if os.environ.get("TEXTUAL_DRIVER"):
            return super().get_driver_class()
        return TerminalDriver

    def exit(self, *args: Any, **kwargs: Any) -> None:
        """Leave, and leave no picture behind."""
        self.wire.remove_pictures()
        super().exit(*args, **kwargs)


def _is_text(event: Typed, target: Widget) -> bool:
    """Whether a key is a letter for a field, which leads nowhere: what is typed behind it need not wait."""
    from textual.widgets import Input

    return isinstance(event, events.Key) and event.is_printable and isinstance(target, Input)
