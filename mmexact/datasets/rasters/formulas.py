"""Bands that are computed from others, such as 'ndvi=(B08-B04)/(B08+B04)'."""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
"""All that formulas can do, besides a minus in front of a number or band."""

LONGEST = 300
"""Characters of a formula, so that none is nested too deeply for Python."""


BY_NUMBER = re.compile(r'b[1-9]\d*')
"""Name of a band that has only a number."""


class Formula(NamedTuple):
    """How a band is computed from others.

    Attributes:
        name: The band it makes.
        tree: The expression.
        operands: The bands it uses, each once, in the order of their names.
    """

    name: str
    tree: ast.expr
    operands: tuple[str, ...]

    def compute(self, bands: Mapping[str, np.ndarray]) -> np.ndarray:
        """Compute float32 values from float32 ones by band, all of one shape."""
        return _evaluate(self.tree, bands)


def is_formula(band: int | str) -> bool:
    """Tell whether a band of the settings is to be computed."""
    return isinstance(band, str) and '=' in band


@lru_cache
def parse_formula(text: str) -> Formula:
    """Read a formula: ``name=expression`` of numbers, names of bands, + - * / and parentheses.

    Raises:
        ValueError: It is something else.
    """
    name, _, expression = (part.strip() for part in text.partition('='))
    try:
        if not name.isidentifier() or len(expression) > LONGEST:
            raise ValueError(f'no name before =, or more than {LONGEST} characters behind it')
        tree = ast.parse(expression, mode='eval').body
        operands = _check(tree)
        if not operands:
            raise ValueError('it uses no band')
    except (SyntaxError, ValueError, OverflowError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(
            f'bands: {text[:100]!r}: {reason}; expected a name and a formula of numbers, names of '
            f"bands, + - * / and parentheses, such as 'ndvi=(B08-B04)/(B08+B04)'"
        ) from None
    return Formula(name, tree, tuple(sorted(operands)))


def _check(tree: ast.expr) -> set[str]:
    """Refuse what is no arithmetic; return the names of the bands."""
    match tree:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return _check(left) | _check(right)
        case ast.UnaryOp(ast.USub(), operand):
            return _check(operand)
        case ast.Name(name):
            return {name}
        case ast.Constant(int() | float() as value) if type(value) is not bool:
            if abs(value) > float(np.finfo(np.float32).max):
                raise ValueError(f'{ast.unparse(tree)} is too large')
            return set()
    raise ValueError(f'{ast.unparse(tree)} is no arithmetic')


def _evaluate(tree: ast.expr, bands: Mapping[str, np.ndarray]) -> Any:
    match tree:
        case ast.BinOp(left, op, right):
            return OPERATORS[type(op)](_evaluate(left, bands), _evaluate(right, bands))
        case ast.UnaryOp(_, operand):
            return -_evaluate(operand, bands)
        case ast.Name(name):
            return bands[name]
        case ast.Constant(int() | float() as value):
            return np.float32(value)
    raise AssertionError(tree)


def name_bands(bands: Sequence[int | str]) -> list[str]:
    """Return the names of bands, those that are computed included; a number is one as it is."""
    return [parse_formula(str(band)).name if is_formula(band) else str(band) for band in bands]


def _name(band: int | str) -> str:
    return band if isinstance(band, str) else f'b{band}'


def stored_bands(bands: Sequence[int | str]) -> list[int | str]:
    """Return the bands that have to be read: those themselves, and what others are computed from.

    Where bands go by numbers, b1 in a formula is the first one.
    """
    plain = [band for band in bands if not is_formula(band)]
    formulas = [parse_formula(str(band)) for band in bands if is_formula(band)]
    used = [name for formula in formulas for name in formula.operands]
    by_number = any(isinstance(band, int) for band in plain)
    numbers = {name: int(name[1:]) for name in used if by_number and BY_NUMBER.fullmatch(name)}
    return list(dict.fromkeys([*plain, *(numbers.get(name, name) for name in used)]))


def compute_bands(
    wanted: Sequence[int | str], values: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bring bands that were read into the order wanted, and compute the others.

    Args:
        wanted: The bands, some of which are formulas.
        values: (T, C', h, w) of :func:`stored_bands`.
        valid: (T, C', h, w) bool, False where ``values`` means nothing.

    Returns:
        Values (T, C, h, w), float32, and where they are valid. A computed value is where all bands
        that it is computed from are, unless it is divided by zero or too large for the type.
    """
    shape = (len(values), len(wanted), *values.shape[2:])
    result, known = np.empty(shape, np.float32), np.empty(shape, dtype=bool)
    places = {_name(band): place for place, band in enumerate(stored_bands(wanted))}
    for number, band in enumerate(wanted):
        if not is_formula(band):
            place = places[_name(band)]
            result[:, number], known[:, number] = values[:, place], valid[:, place]
            continue
        formula = parse_formula(str(band))
        used = {name: values[:, places[name]].astype(np.float32) for name in formula.operands}
        with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
            computed = formula.compute(used)
        finite = np.isfinite(computed)
        result[:, number] = np.where(finite, computed, 0)
        known[:, number] = finite & valid[:, [places[name] for name in formula.operands]].all(1)
    return result, known
