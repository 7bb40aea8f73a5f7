"""Whether a value fits a setting's type, and the value as that type."""

import types
from typing import Literal, Union, get_args, get_origin


class Misfit(Exception):
    """The value is of another type than the setting."""


def fit(value: object, annotation: object) -> object:
    """`value` as `annotation` (int, float, bool, str, None, Literal or a union of them); raises Misfit.

    32 fits the choice "32", and 1e3 the integer 1000; true never passes for 1, and no text for a number.
    """
    if get_origin(annotation) is Literal:
        return _fit_choice(value, get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return _fit_union(value, get_args(annotation))
    if annotation is type(None) and value is None:
        return None
    if annotation is bool and isinstance(value, bool):
        return value
    if isinstance(value, bool) or value is None:
        raise Misfit
    if annotation is int and isinstance(value, int | float) and float(value).is_integer():
        return int(value)
    if annotation is float and isinstance(value, int | float):
        return float(value)
    if annotation is str and isinstance(value, str | int | float):
        return str(value)
    raise Misfit


def _fit_choice(value: object, choices: tuple[object, ...]) -> object:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    for choice in choices:
        if not isinstance(value, bool) and str(value) == choice:
            return choice
    raise Misfit


def _fit_union(value: object, parts: tuple[object, ...]) -> object:
    for part in parts:  # an exact type first: 1.0 stays a share where 1 would be a count
        if isinstance(part, type) and type(value) is part:
            return fit(value, part)
    for part in parts:
        try:
            return fit(value, part)
        except Misfit:
            continue
    raise Misfit
