"""Writes small files in exactly the layout of LMDZ's guide_ins.nc and of its physics output."""

import netCDF4
import numpy as np
import xarray as xr

from closura.grids.hybrid_levels import StratoCustom, middle, reference_levels
from closura.grids.lmdz_grid import LmdzGrid, u_to_centres, v_to_centres
from closura.grids.lmdz_guide import relaxation_factor

IIM, JJM, LLM = 8, 6, 4
CALLS = 96  # of the guide in a day: every 15 minutes
TAU = 0.25  # [days]


def winds(records, *, seed=0, grid=None, levels=LLM):
    """Winds before nudging and the analysis on the C-grid, smooth in space, other each record."""
    grid = grid or LmdzGrid(IIM, JJM)
    draw = np.random.default_rng(seed)
    found = {}
    for name, lat, lon in (
        ("u", grid.latitude_u, grid.longitude_u), ("v", grid.latitude_v, grid.longitude_v),
    ):  # fmt: skip
        size = (records, levels, 1, 1)
        wave = np.sin(np.radians(lon) + draw.uniform(0, 6, size)) * np.cos(np.radians(lat))[:, None]
        found[name] = 10 * draw.normal(size=size) * wave + 3 * np.cos(np.radians(lat))[:, None]
        # The model's error is half the wind plus a drag: linear in the column.
        found[name + "a"] = 0.5 * found[name] + 0.2 * np.roll(found[name], 1, axis=1)
        found[name][..., -1] = found[name][..., 0]
        found[name + "a"][..., -1] = found[name + "a"][..., 0]
    for name in ("u", "ua"):
        found[name][..., [0, -1], :] = 0.0
    return found


def write_guide(
    path,
    *,
    records=24,
    grid=None,
    levels=LLM,
    ucov="per day",
    seed=0,
    taper=None,
    mode="w",
    **fields,
):
    """Write guide_ins.nc with netCDF4 as LMDZ does: classic format, no attributes, no times.

    Returns what should come out: tendencies at the C-grid's points [m s-1 day-1], top first not.
    """
    grid = grid or LmdzGrid(IIM, JJM)
    ap, bp = StratoCustom().interfaces(levels)
    held = winds(records, seed=seed, grid=grid, levels=levels) | fields
    alpha = relaxation_factor(1 / CALLS, TAU)
    taper = np.ones(levels) if taper is None else taper
    increments = {
        n: alpha * taper[:, None, None] * (held[n + "a"] - held[n]) * length
        for n, length in (("u", grid.cu), ("v", grid.cv))
    }
    with netCDF4.Dataset(path, mode, format="NETCDF3_CLASSIC") as file:
        sizes = {"LONU": grid.iim + 1, "LONV": grid.iim + 1, "LATU": grid.jjm + 1,
                 "LATV": grid.jjm, "LEVEL": levels, "TIME": None}  # fmt: skip
        for name, size in sizes.items():
            file.createDimension(name, size)
        u, v, scalar = ("LATU", "LONU"), ("LATV", "LONV"), ("LATU", "LONV")

        def put(name, dims, values):
            file.createVariable(name, "f4", dims)[:] = values

        put("LONU", ("LONU",), grid.longitude_u)
        put("LONV", ("LONV",), grid.longitude_v)
        put("LATU", ("LATU",), grid.latitude_u)
        put("LATV", ("LATV",), grid.latitude_v)
        put("LEVEL", ("LEVEL",), reference_levels(ap, bp))
        put("cu", u, grid.cu)
        put("cv", v, grid.cv)
        put("au", u, np.full((grid.jjm + 1, grid.iim + 1), alpha))
        put("av", v, np.full((grid.jjm, grid.iim + 1), alpha))
        put("alpha_T", scalar, 0.0)
        put("alpha_q", scalar, 0.0)
        pressure = middle(ap) + middle(bp) * 1e5
        put(
            "SP",
            ("TIME", "LEVEL", *scalar),
            np.broadcast_to(pressure[:, None, None], (records, levels, grid.jjm + 1, grid.iim + 1)),
        )
        for name in ("u", "ua"):
            put(name, ("TIME", "LEVEL", *u), held[name])
        put("ucov", ("TIME", "LEVEL", *u), increments["u"] * (CALLS if ucov == "per day" else 1))
        for name in ("v", "va"):
            put(name, ("TIME", "LEVEL", *v), held[name])
        put("vcov", ("TIME", "LEVEL", *v), increments["v"] * CALLS)
    return held, {n: increments[n] * CALLS for n in ("u", "v")}


def at_centres(wind, component):
    """A wind of the C-grid where closura has it: centres, top first, south first, from 0 east."""
    centred = u_to_centres(wind) if component == "u" else v_to_centres(wind)
    turned = centred[..., ::-1, ::-1, :]
    return np.roll(turned, -turned.shape[-1] // 2, axis=-1)


def write_states(path, *, records=24, grid=None, levels=LLM, start="1981-01-01", seed=0, **changes):
    """Write histins.nc as LMDZ's physics does: regular, poles and all, from 90 N and 180 W on."""
    grid = grid or LmdzGrid(IIM, JJM)
    ap, bp = StratoCustom().interfaces(levels)
    draw = np.random.default_rng(seed + 100)
    shape = (records, levels, grid.jjm + 1, grid.iim)
    dims = ("time_counter", "presnivs", "lat", "lon")
    temperature = 250 + 20 * draw.random(shape)
    ground = 1e5 + 1e3 * draw.random((records, grid.jjm + 1, grid.iim))
    found = {
        "temp": (dims, temperature, {"units": "K"}),
        "psol": (("time_counter", "lat", "lon"), ground, {"units": "Pa"}),
        "ap": ("klevp1", ap), "bp": ("klevp1", bp),
    } | changes  # fmt: skip
    step = np.timedelta64(6, "h")
    dates = np.datetime64(start, "ns") + step * np.arange(records)
    file = xr.Dataset(
        found,
        {
            "time_counter": dates,
            "presnivs": ("presnivs", reference_levels(ap, bp), {"units": "Pa"}),
            "lat": grid.latitude_u,
            "lon": grid.longitude_v[:-1],
        },
    )
    file.to_netcdf(path)
    return file
