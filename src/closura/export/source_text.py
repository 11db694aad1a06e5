"""The text of a Fortran module that computes what a small container computes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from closura import __version__
from closura.export.container import Container
from closura.export.operations import (
    Add,
    Clip,
    Dense,
    Finite,
    Operation,
    Polynomial,
    Restore,
    Select,
    Standardise,
)

MOST_NUMBERS = 2000  # beyond, compilers take long and a file of numbers is the better home
LONGEST = 110  # characters of a line: Fortran allows 132

# Statements that bend an array named @ in place; the functions are those of closura.nets.mlp.
BENDS = {
    "none": "",
    "relu": "@ = max(@, 0.0_wp)",
    "leaky_relu": "@ = merge(@, 0.01_wp * @, @ >= 0)",
    "elu": "@ = merge(@, exp(min(@, 0.0_wp)) - 1, @ > 0)",
    "gelu": "@ = 0.5_wp * @ * (1 + tanh(0.79788456080286536_wp * (@ + 0.044715_wp * @**3)))",
    "silu": "@ = @ * 0.5_wp * (1 + tanh(0.5_wp * @))",
    "softplus": "@ = max(@, 0.0_wp) + log(1 + exp(-abs(@)))",
    "sigmoid": "@ = 0.5_wp * (1 + tanh(0.5_wp * @))",
    "tanh": "@ = tanh(@)",
}

SHIPPED = (Select, Standardise, Restore, Dense, Polynomial, Clip, Finite, Add)


def write_module(container: Container, name: str) -> str:
    """Return the source of a module `<name>` with one pure subroutine `<name>_tendency`.

    Raises:
        ValueError: It remembers, branches, or has too many numbers.
    """
    _check(container)
    lines = [line for one in container.operations for line in _statements(one)]
    widths = [max(one.width()) for one in container.operations if not isinstance(one, Add)]
    pieces = {
        "NAME": name,
        "VERSION": __version__,
        "INPUTS": str(len(container.inputs)),
        "OUTPUTS": str(len(container.outputs)),
        "WIDTH": str(max(widths, default=1)),
        "ABOUT": "\n".join(_table(container)),
        "BODY": "\n".join(f"    {line}" for line in lines),
        "INSTEAD": "0.0_wp" if container.missing == "zero" else "ieee_value(y, ieee_quiet_nan)",
    }
    text = TEMPLATE if container.missing != "zero" else TEMPLATE.replace(IEEE, "")
    if not any("b(" in line for line in lines):
        text = text.replace("a(@WIDTH@), b(@WIDTH@)", "a(@WIDTH@)")
    for key, value in pieces.items():
        text = text.replace(f"@{key}@", value)
    return text


IEEE = "  use, intrinsic :: ieee_arithmetic, only: ieee_value, ieee_quiet_nan\n"
TEMPLATE = f"""\
! @NAME@: a closure from Closura @VERSION@, with its numbers in it. Fortran 2008, nothing to link.
!
!   call @NAME@_tendency(x, y)   both real32 or real64; x(@INPUTS@), y(@OUTPUTS@): tendencies to add
!
@ABOUT@
module @NAME@
{IEEE}  use, intrinsic :: iso_fortran_env, only: real32, wp => real64
  implicit none
  private
  public :: @NAME@_tendency
  integer, parameter, public :: @NAME@_inputs = @INPUTS@, @NAME@_outputs = @OUTPUTS@

  interface @NAME@_tendency
    module procedure in_double, in_single
  end interface @NAME@_tendency

contains

  pure subroutine in_single(x, y)
    real(real32), intent(in) :: x(@INPUTS@)
    real(real32), intent(out) :: y(@OUTPUTS@)
    real(wp) :: found(@OUTPUTS@)

    call in_double(real(x, wp), found)
    y = real(found, real32)
  end subroutine in_single

  pure subroutine in_double(x, y)
    real(wp), intent(in) :: x(@INPUTS@)
    real(wp), intent(out) :: y(@OUTPUTS@)
    real(wp) :: a(@WIDTH@), b(@WIDTH@)

    if (.not. all(abs(x) <= huge(x))) then
      y = @INSTEAD@
      return
    end if
    y = 0
@BODY@
  end subroutine in_double
end module @NAME@
"""


def _check(container: Container) -> None:
    count = 0
    for one in container.operations:
        if not isinstance(one, SHIPPED):
            raise ValueError(
                f"{type(one).__name__.lower()} cannot be shipped as source, only equations, "
                "polynomials and very small networks; export it to fortran."
            )
        count += sum(np.size(value) for value in vars(one).values() if not isinstance(value, str))
    if count > MOST_NUMBERS:
        raise ValueError(
            f"a closure of {count} numbers cannot be shipped as source, which holds up to "
            f"{MOST_NUMBERS}; export it to fortran."
        )


def _table(container: Container) -> Iterator[str]:
    for letter, side in (("x", container.inputs), ("y", container.outputs)):
        for number, column in enumerate(side, 1):
            yield f"! {letter}({number}): {column.name} [{column.units}]"


def _statements(one: Operation) -> Iterator[str]:
    match one:
        case Select(inputs):
            for row, number in enumerate(inputs, 1):
                yield f"a({row}) = x({number + 1})"
        case Standardise(centre, scale):
            for row, (low, wide) in enumerate(zip(centre, scale, strict=True), 1):
                yield f"a({row}) = (a({row}) - {_real(low)}) / {_real(wide)}"
        case Restore(centre, scale):
            for row, (low, wide) in enumerate(zip(centre, scale, strict=True), 1):
                yield f"a({row}) = a({row}) * {_real(wide)} + {_real(low)}"
        case Finite(rows):
            yield f"where (.not. abs(a(:{rows})) <= huge(a)) a(:{rows}) = 0"
        case Clip(lower, upper):
            for row, (low, high) in enumerate(zip(lower, upper, strict=True), 1):
                yield f"a({row}) = min(max(a({row}), {_real(low)}), {_real(high)})"
        case Dense(weights, offset, activation):
            yield from _dense(weights, offset, activation)
        case Polynomial(exponents, coefficients):
            yield from _polynomial(exponents, coefficients)
        case Add(outputs):
            for row, number in enumerate(outputs, 1):
                yield f"y({number + 1}) = y({number + 1}) + a({row})"


def _dense(weights: np.ndarray, offset: np.ndarray, activation: str) -> Iterator[str]:
    for output, column in enumerate(weights.T, 1):
        told = [_real(offset[output - 1])]
        told += [f"{_real(weight)} * a({row})" for row, weight in enumerate(column, 1)]
        yield from _sum(f"b({output})", told)
    bend = BENDS[activation].replace("@", f"b(:{len(offset)})")
    if bend:
        yield bend
    yield f"a(:{len(offset)}) = b(:{len(offset)})"


def _polynomial(exponents: np.ndarray, coefficients: np.ndarray) -> Iterator[str]:
    for output, column in enumerate(coefficients.T, 1):
        told = [
            " * ".join([_real(factor), *_powers(powers)])
            for powers, factor in zip(exponents, column, strict=True)
        ]
        yield from _sum(f"b({output})", told)
    yield f"a(:{coefficients.shape[1]}) = b(:{coefficients.shape[1]})"


def _powers(powers: np.ndarray) -> list[str]:
    found = ((row, int(power)) for row, power in enumerate(powers, 1) if power)
    return [f"a({row})" + (f"**{power}" if power > 1 else "") for row, power in found]


def _sum(name: str, terms: list[str]) -> Iterator[str]:
    """Give statements that add terms up, with as many on a line as it holds."""
    line = f"{name} = {terms[0]}" if terms else f"{name} = 0"
    for term in terms[1:]:
        if len(line) + len(term) + 3 > LONGEST:
            yield line
            line = f"{name} = {name}"
        line += f" + {term}"
    yield line


def _real(value: Any) -> str:
    """Return a number that reads back the same, in brackets where it is negative."""
    text = f"{float(value)!r}_wp"
    text = text if "." in text or "e" in text else text.replace("_wp", ".0_wp")
    return f"({text})" if np.signbit(value) else text
