"""The staggered longitude-latitude grid of LMDZ: winds, centres, poles and physics columns."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

EARTH_RADIUS = 6371229.0  # [m] `rad` of LMDZ (comconst)


@dataclass(frozen=True)
class LmdzGrid:
    """A grid "iim x jjm": rows run from north to south, and LMDZ repeats the first meridian.

    | points | dims of LMDZ's arrays | where |
    |---|---|---|
    | scalars | (jjm + 1, iim + 1) | `latitude_u`, `longitude_v`; first and last row are the poles |
    | eastward wind | (jjm + 1, iim + 1) | `latitude_u`, `longitude_u`; 0 at the poles |
    | northward wind | (jjm, iim + 1) | `latitude_v`, `longitude_v` |
    | centres | (jjm - 1, iim) | scalars without the poles and the repeated meridian |
    | columns | (iim * (jjm - 1) + 2,) | centres row by row, between the two poles |

    Arrays have these as their last dimensions; any others stand before them. Averages between
    points are half sums, as in LMDZ's own passage from dynamics to physics, zoomed or not. This
    class knows the regular grid (`grossismx`, `grossismy` of 1, `clon` of 0); for a zoomed one take
    the coordinates, `cu` and `cv` from the model's files.

    Args:
        iim: Number of meridians.
        jjm: Number of rows of northward wind; scalars have one more.
        radius: Radius of the planet [m].

    Reference:
        Le Van (1989), "Nouvelle formulation du code de dynamique", LMD; `inigeom`, `calfis` and
        `gr_dyn_fi` of LMDZ.
    """

    iim: int
    jjm: int
    radius: float = EARTH_RADIUS

    def __post_init__(self):
        if self.iim < 4 or self.jjm < 3:
            raise ValueError(
                f"a grid of {self.iim} x {self.jjm} has no inside; give 4 x 3 or more, as LMDZ "
                "counts: iim meridians, jjm rows of northward wind."
            )

    @property
    def columns(self) -> int:
        """Number of physics columns, `klon_glo`."""
        return self.iim * (self.jjm - 1) + 2

    @cached_property
    def longitude_v(self) -> Float[np.ndarray, "iim_plus_1"]:
        """Longitudes of scalars and of northward wind [degrees_east], from -180 to 180."""
        return -180.0 + 360.0 * np.arange(self.iim + 1) / self.iim

    @cached_property
    def longitude_u(self) -> Float[np.ndarray, "iim_plus_1"]:
        """Longitudes of eastward wind [degrees_east]: half a cell east of the scalars."""
        return self.longitude_v + 180.0 / self.iim

    @cached_property
    def latitude_u(self) -> Float[np.ndarray, "jjm_plus_1"]:
        """Latitudes of scalars and of eastward wind [degrees_north], from 90 to -90."""
        return 90.0 - 180.0 * np.arange(self.jjm + 1) / self.jjm

    @cached_property
    def latitude_v(self) -> Float[np.ndarray, "jjm"]:
        """Latitudes of northward wind [degrees_north], halfway between those of scalars."""
        return (self.latitude_u[1:] + self.latitude_u[:-1]) / 2

    @cached_property
    def cu(self) -> Float[np.ndarray, "jjm_plus_1 iim_plus_1"]:
        """Length [m] that turns eastward into covariant wind, ucov = cu u; 0 at the poles.

        The mean of the cell's four quarters: a cos(latitude) dlon cos(dlat / 4).
        """
        dlon, quarter = 2 * np.pi / self.iim, np.pi / self.jjm / 4
        rows = self.radius * dlon * np.cos(np.radians(self.latitude_u)) * np.cos(quarter)
        rows[[0, -1]] = 0.0
        return np.broadcast_to(rows[:, None], (self.jjm + 1, self.iim + 1))

    @cached_property
    def cv(self) -> Float[np.ndarray, "jjm iim_plus_1"]:
        """Length [m] that turns northward into covariant wind, vcov = cv v: a dlat."""
        return np.full((self.jjm, self.iim + 1), self.radius * np.pi / self.jjm)


def physical_wind(covariant: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return the wind [m s-1] of a covariant one: divided by `cu` or `cv`, 0 where that is 0.

    Args:
        covariant: [m2 s-1] or a rate of it.
        length: `cu` or `cv` [m], the last two dimensions of `covariant`.
    """
    return np.divide(covariant, length, out=np.zeros(np.shape(covariant)), where=length > 0)


def covariant_wind(wind: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return the covariant wind [m2 s-1] of a physical one: multiplied by `cu` or `cv`."""
    return wind * length


def u_to_centres(wind: Float[np.ndarray, "*before jjm_plus_1 iim_plus_1"]) -> np.ndarray:
    """Return eastward wind at the centres (..., jjm - 1, iim); the poles are left out."""
    inside = wind[..., 1:-1, :-1]
    return (np.roll(inside, 1, axis=-1) + inside) / 2


def v_to_centres(wind: Float[np.ndarray, "*before jjm iim_plus_1"]) -> np.ndarray:
    """Return northward wind at the centres (..., jjm - 1, iim)."""
    return (wind[..., :-1, :-1] + wind[..., 1:, :-1]) / 2


def to_centres(scalar: Float[np.ndarray, "*before jjm_plus_1 iim_plus_1"]) -> np.ndarray:
    """Return a scalar at the centres: without the poles and the repeated meridian."""
    return scalar[..., 1:-1, :-1]


def to_u_points(
    wind: Float[np.ndarray, "*before rows iim"],
) -> Float[np.ndarray, "*before rows_plus_2 iim_plus_1"]:
    """Return eastward wind at its own points from the centres; 0 at the poles, as in LMDZ."""
    inside = (wind + np.roll(wind, -1, axis=-1)) / 2
    rows = np.concatenate([np.zeros_like(inside[..., :1, :]), inside], axis=-2)
    rows = np.concatenate([rows, np.zeros_like(inside[..., :1, :])], axis=-2)
    return with_repeated_meridian(rows)


def to_v_points(
    eastward: Float[np.ndarray, "*before rows iim"],
    northward: Float[np.ndarray, "*before rows iim"],
    longitude: Float[np.ndarray, "iim"],
) -> Float[np.ndarray, "*before rows_plus_1 iim_plus_1"]:
    """Return northward wind at its own points from both winds at the centres.

    The first row of points lies between the last row of centres and the pole. The pole has one
    wind, a vector, which `pole_wind` finds in the nearest row; its part along each meridian is the
    other neighbour, so that a flow across the pole stays one.

    Args:
        eastward: Rows from north to south.
        northward: The same.
        longitude: Of the centres [degrees_east].
    """
    north = pole_wind(eastward[..., 0, :], northward[..., 0, :], longitude, pole=1)
    south = pole_wind(eastward[..., -1, :], northward[..., -1, :], longitude, pole=-1)
    rows = np.concatenate([north[..., None, :], northward, south[..., None, :]], axis=-2)
    return with_repeated_meridian((rows[..., 1:, :] + rows[..., :-1, :]) / 2)


def pole_wind(
    eastward: Float[np.ndarray, "*before iim"],
    northward: Float[np.ndarray, "*before iim"],
    longitude: Float[np.ndarray, "iim"],
    *,
    pole: int,
) -> Float[np.ndarray, "*before iim"]:
    """Return northward wind at a pole, on each meridian, from the row of centres next to it.

    Args:
        eastward: Wind of that row.
        northward: The same.
        longitude: Of the row [degrees_east].
        pole: 1 for the north pole, -1 for the south pole.
    """
    cosine, sine = np.cos(np.radians(longitude)), np.sin(np.radians(longitude))
    # Parts of the wind along the fixed directions of longitudes 0 and 90 degrees.
    along_0 = np.mean(-eastward * sine - pole * northward * cosine, axis=-1, keepdims=True)
    along_90 = np.mean(eastward * cosine - pole * northward * sine, axis=-1, keepdims=True)
    return -pole * (along_0 * cosine + along_90 * sine)


def with_repeated_meridian(field: np.ndarray) -> np.ndarray:
    """Return a field with its first meridian again at the end, as LMDZ keeps it."""
    return np.concatenate([field, field[..., :1]], axis=-1)


def to_columns(
    scalar: Float[np.ndarray, "*before jjm_plus_1 iim_plus_1"],
) -> Float[np.ndarray, "*before columns"]:
    """Return physics columns of scalars: north pole, rows from north to south, south pole."""
    inside = to_centres(scalar)
    flat = inside.reshape(*inside.shape[:-2], -1)
    return np.concatenate([scalar[..., 0, :1], flat, scalar[..., -1, :1]], axis=-1)


def from_columns(
    columns: Float[np.ndarray, "*before columns"], grid: LmdzGrid
) -> Float[np.ndarray, "*before jjm_plus_1 iim_plus_1"]:
    """Return scalars on the grid from physics columns; a pole's value is on every meridian.

    Raises:
        ValueError: There are not as many columns as the grid has.
    """
    if columns.shape[-1] != grid.columns:
        raise ValueError(
            f"there are {columns.shape[-1]} columns and a grid of {grid.iim} x {grid.jjm} has "
            f"{grid.columns} = {grid.iim} x {grid.jjm - 1} + 2; give the grid that they are from."
        )
    before = columns.shape[:-1]
    ones = np.ones((1, grid.iim), columns.dtype)
    north, south = columns[..., :1, None] * ones, columns[..., -1:, None] * ones
    inside = columns[..., 1:-1].reshape(*before, grid.jjm - 1, grid.iim)
    return with_repeated_meridian(np.concatenate([north, inside, south], axis=-2))
