"""Bounds of what a pickle builds, looked at before it is read.

A tuple of twice the same tuple, of twice the same and so on costs nothing to build, and ages to
hash or to print.
"""

import pickle
from pickletools import OpcodeInfo, genops, markobject
from typing import IO, Any

MOST_VALUES = 1_000_000
"""Values within a value, each counted as often as it stands there. Arrays are one."""

READ_MEMO = {'GET', 'BINGET', 'LONG_BINGET'}
WRITE_MEMO = {'PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'}
FILL = {'APPEND', 'APPENDS', 'SETITEM', 'SETITEMS', 'ADDITEMS', 'BUILD'}
"""Opcodes that put values into one that the memo may hold already."""


def check_size(file: IO[bytes]) -> None:
    """Follow the next pickle in a file to its end without building anything.

    Raises:
        UnpicklingError: Something in it holds more than :data:`MOST_VALUES` values.
        ValueError, LookupError, TypeError: The pickle is damaged.
    """
    stack: list[Any] = []  # as a reader's, with marks, and the numbers of values in lists of one
    memo: dict[Any, Any] = {}
    for opcode, argument, _ in genops(file):
        if opcode.name in READ_MEMO:
            stack.append(memo[argument])
        elif opcode.name in WRITE_MEMO:
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif opcode.name == 'DUP':
            stack.append(stack[-1])
        else:
            _work(opcode, stack)
            if stack and stack[-1] is not markobject and stack[-1][0] > MOST_VALUES:
                raise pickle.UnpicklingError(f'more than {MOST_VALUES} values in one')


def _work(opcode: OpcodeInfo, stack: list[Any]) -> None:
    """Take from the stack what an opcode works on, and put there what it leaves."""
    taken, number = [], len(opcode.stack_before)
    to_mark = opcode.name == 'POP' and stack[-1] is markobject
    if to_mark or markobject in opcode.stack_before:
        while (value := stack.pop()) is not markobject:
            taken.append(value)
        number = 0 if to_mark else opcode.stack_before.index(markobject)
    taken += [stack.pop() for _ in range(number)]
    held = taken.pop() if opcode.name in FILL else [1]
    held[0] += sum(value[0] for value in taken)
    stack += [markobject if left is markobject else held for left in opcode.stack_after]
