"""How `spotopt up` shows what runs: a table that is redrawn on a terminal, a line for each change elsewhere."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from deploy.local.stack import Stack

STYLES = {"ready": "green", "running": "green", "starting": "yellow", "not ready": "yellow"}


@dataclass
class Display:
    """What each part is doing, as far as people have been told."""

    console: Console
    _rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    _foot: str = ""
    _live: Live | None = None

    def __enter__(self) -> "Display":
        """Begin to draw, on a terminal."""
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self._drawn, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture where it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(Text(text), soft_wrap=True)

    def told(self, part: str, text: str) -> None:
        """Report an event of a part; it stands beside its state until the next one."""
        self.show(part, self._rows.get(part, ("starting", ""))[0], text)

    def show(self, part: str, state: str, reason: str = "") -> None:
        """Report the state of a part; what has not changed is not said again."""
        if self._rows.get(part) == (state, reason):
            return
        self._rows[part] = (state, reason)
        if self._live is None:
            self.console.print(Text(f"{part:<10} {state:<10} {reason}".rstrip()), soft_wrap=True)

    def foot(self, text: str) -> None:
        """Say what stands below the table."""
        self._foot = text
        if self._live is None:
            self.say(text)

    def _drawn(self) -> Table:
        table = Table(box=None, header_style="bold", pad_edge=False, caption=Text(self._foot, justify="left"))
        for column in ("part", "state", "reason"):
            table.add_column(column, overflow="fold")
        for part, (state, reason) in self._rows.items():
            table.add_row(part, Text(state, STYLES.get(state, "")), Text(reason))
        table.caption_justify = "left"
        return table


async def look(stack: "Stack", display: Display) -> bool:
    """Ask every part how it stands, and show it; return whether all can work."""
    all_ready = True
    for part, reason in (await stack.reasons()).items():
        all_ready = all_ready and reason is None
        works = "ready" if part in stack.health_ports else "running"
        if reason is None:
            display.show(part, works)
        else:
            display.show(part, "not ready", reason)
    return all_ready
