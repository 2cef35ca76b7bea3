"""Blocks of code in Markdown pages."""

import re
from pathlib import Path
from typing import NamedTuple


class Block(NamedTuple):
    """A fenced block: its page, the line where it starts, its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    def commands(self) -> list[str]:
        """Lines of a shell block, those that end with a backslash joined."""
        joined = re.sub(r'\\\n\s*', ' ', self.text)
        return [line for line in joined.splitlines() if line.strip() and line[0] != '#']


def read_blocks(page: Path) -> list[Block]:
    """Read the fenced blocks of a page in their order."""
    blocks, opened = [], None
    lines = page.read_text(encoding='utf-8').splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith('```'):
            if opened is None:
                opened = number
            else:
                language = lines[opened - 1].removeprefix('```').strip()
                text = '\n'.join(lines[opened : number - 1])
                blocks.append(Block(page, opened, language, text))
                opened = None
    assert opened is None, f'{page}: the block of line {opened} has no end'
    return blocks
