"""Several netCDF or Zarr files as one Dataset along the dimension of samples."""

import glob
import warnings
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import xarray as xr

from closura.data.fetch import PUBLIC_FILES, fetch
from closura.data.places import place_name

ALL_NAMES = "all_names"  # attribute of a piece: what its file holds, for guesses

Files = str | Path | Sequence[str | Path]


def find_files(files: Files) -> list[Path]:
    """Return the paths that names, patterns and paths stand for, each once.

    Args:
        files: A path, a pattern such as ``"run/*.nc"``, a name known to `fetch`, or several.

    Raises:
        FileNotFoundError: One of them stands for nothing.
    """
    given = [files] if isinstance(files, str | Path) else list(files)
    found: list[Path] = []
    for entry in given:
        text = str(Path(entry).expanduser())
        if Path(text).exists():
            found.append(Path(text))
        elif glob.has_magic(text):
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                raise FileNotFoundError(f"no file matches {text!r}; check the folder and pattern.")
            found += map(Path, matches)
        elif text in PUBLIC_FILES:
            found.append(fetch(text))
        else:
            raise FileNotFoundError(_absent(Path(text)))
    if not found:
        raise FileNotFoundError("files is empty; name one file or more.")
    return list(dict.fromkeys(found))


def open_merged(
    paths: Sequence[Path], wanted: Collection[str], sample: str, *, lazy: bool = False
) -> xr.Dataset:
    """Return the wanted variables of all files, in memory; or unread, in the files' own chunks.

    Files that hold the same wanted variables are joined along the samples, in order of their
    first sample; files that hold different ones must have the same samples. A variable that does
    not depend on the sample is taken from the first file that has it.

    Raises:
        ValueError: A variable or dimension is missing, or samples or levels do not match.
    """
    pieces = [_read(path, wanted, sample, chunks={} if lazy else None) for path in paths]
    held = {str(name) for piece in pieces for name in piece.variables}
    for name in wanted:
        if name not in held:
            _refuse_name(name, sorted({n for p in pieces for n in p.attrs[ALL_NAMES]}), paths)
    groups: dict[frozenset, list[xr.Dataset]] = {}
    for piece in pieces:
        along = frozenset(str(n) for n in piece.data_vars if sample in piece[n].dims)
        groups.setdefault(along, []).append(piece)
    parts = [_joined(group, sample) for group in groups.values()]
    merged = _merged(parts, sample)
    return merged if lazy else merged.load()


def _read(path: Path, wanted: Collection[str], sample: str, *, chunks: dict | None) -> xr.Dataset:
    """Return what one file holds of the wanted variables, with other names kept for guesses."""
    try:
        file = _opened(path, chunks)
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} cannot be read: {line}. Wanted: a netCDF file or Zarr."
        ) from error
    if sample not in file.dims:
        nearest = get_close_matches(sample, map(str, file.dims), n=1)
        guess = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise ValueError(
            f"{path.name} has no dimension {sample!r} to count samples along; it has "
            f"{', '.join(f'{d} ({n})' for d, n in file.sizes.items())}{guess}"
        )
    held = [name for name in wanted if name in file.variables]
    if not held:
        _refuse_name(next(iter(wanted)), sorted(map(str, file.data_vars)), [path])
    chosen = file[held].reset_coords([n for n in held if n in file.coords and n not in file.dims])
    chosen = chosen.drop_vars([n for n in chosen.coords if n not in chosen.dims])
    inside = set(chosen.dims) - {sample}
    places = {
        name: one
        for name, one in file.variables.items()
        if name not in chosen.variables and place_name(one) and inside.issuperset(one.dims)
    }
    chosen = chosen.assign_coords(places)
    return chosen.assign_attrs({ALL_NAMES: sorted(map(str, file.data_vars))})


def _opened(path: Path, chunks: dict | None) -> xr.Dataset:
    with warnings.catch_warnings():
        # A file may declare `_FillValue` and another `missing_value`: both are read as missing.
        warnings.filterwarnings("ignore", "variable .* has multiple fill values")
        if path.is_dir():
            return xr.open_zarr(path, chunks=chunks, consolidated=False, decode_timedelta=False)
        return xr.open_dataset(path, chunks=chunks, decode_timedelta=False)


def _joined(pieces: list[xr.Dataset], sample: str) -> xr.Dataset:
    """Return pieces of one record, one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    if all(sample in piece.coords for piece in pieces):
        pieces = sorted(pieces, key=lambda piece: piece[sample].values[0])
    pieces = [pieces[0], *(_aligned(piece, pieces[0], sample) for piece in pieces[1:])]
    return xr.concat(
        pieces, sample, data_vars="minimal", coords="minimal", compat="override",
        join="override", combine_attrs="override",
    )  # fmt: skip


def _merged(parts: list[xr.Dataset], sample: str) -> xr.Dataset:
    """Return parts that hold different variables of the same samples as one."""
    whole = parts[0]
    for part in parts[1:]:
        new = [name for name in part.data_vars if name not in whole]
        part = _aligned(part[new], whole, sample)
        along = sample in part.dims and sample in whole.dims
        if along and part.sizes[sample] != whole.sizes[sample]:
            raise ValueError(
                f"the files that hold {', '.join(map(str, whole.data_vars))} have "
                f"{whole.sizes[sample]} samples and those that hold {', '.join(map(str, new))} "
                f"have {part.sizes[sample]}; give files of the same samples."
            )
        if along and sample in part.coords and sample in whole.coords:
            differ = part[sample].values != whole[sample].values
            if np.any(differ):
                first = int(np.argmax(differ))
                raise ValueError(
                    f"sample {first} is at {sample} {whole[sample].values[first]} in one file and "
                    f"at {part[sample].values[first]} in another; give files of the same samples."
                )
        whole = xr.merge([whole, part], join="override", compat="override")
    return whole


def _aligned(part: xr.Dataset, whole: xr.Dataset, sample: str) -> xr.Dataset:
    """Return a part with its levels in the order of the whole."""
    for dim in part.dims:
        if dim == sample or dim not in whole.dims:
            continue
        if part.sizes[dim] != whole.sizes[dim]:
            raise ValueError(
                f"{dim} has length {whole.sizes[dim]} in one file and {part.sizes[dim]} in "
                "another; interpolate one of them first."
            )
        if dim in part.coords and dim in whole.coords:
            ours, theirs = whole[dim].values, part[dim].values
            if np.array_equal(ours, theirs):
                continue
            if not np.array_equal(ours, theirs[::-1]):
                raise ValueError(
                    f"{dim} runs {ours[0]} ... {ours[-1]} in one file and {theirs[0]} ... "
                    f"{theirs[-1]} in another; interpolate one of them first."
                )
            part = part.isel({dim: slice(None, None, -1)})
    return part


def _refuse_name(name: str, held: list[str], paths: Sequence[Path]) -> None:
    nearest = get_close_matches(name, held, n=1, cutoff=0.4)
    guess = f"did you mean {nearest[0]!r}? " if nearest else ""
    files = ", ".join(path.name for path in paths[:3]) + (" ..." if len(paths) > 3 else "")
    raise ValueError(f"{name!r} is not in {files}; {guess}Found: {', '.join(held)}.")


def _absent(path: Path) -> str:
    here = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    nearest = get_close_matches(path.name, [*here, *PUBLIC_FILES], n=1)
    guess = f" The nearest name is {nearest[0]!r}." if nearest else ""
    return f"{path} does not exist; wanted a netCDF file or Zarr folder.{guess}"


def elapsed(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Return times as numbers with their unit: seconds since the first where they are dates.

    Args:
        values: A sample coordinate: numbers, NumPy dates or dates of another calendar.
    """
    if np.issubdtype(values.dtype, np.datetime64):
        return (values - values[0]) / np.timedelta64(1, "s"), "s"
    if values.dtype == object:
        return np.array([(value - values[0]).total_seconds() for value in values]), "s"
    return values.astype(float), "1"
