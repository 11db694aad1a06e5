"""Public data files by name: found on this computer, or downloaded once with a checksum."""

import hashlib
import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import pooch

FOLDER_VARIABLE = "CLOSURA_DATA"
CACHE_VARIABLE = "CLOSURA_CACHE"

_CAM = ("m2lines/convection-parameterization-in-CAM", "a968db954169729cdb8cacd5333bb60dd7e737ac")
_NEURALGCM = ("neuralgcm/neuralgcm", "84083549ecc89326a8a085686b034bd269c05da9")
_GEOCAT = ("NCAR/geocat-datafiles", "c06ec3ec6d1c38711c6d4ac6c327c680a0a8aced")
_XARRAY = ("pydata/xarray-data", "58de68cb45bcbd1557df11a92827758495481b4e")
_CO2 = ("datasets/co2-ppm", "146bdc608e1078d3e28e7a5d4755fdc316ffed2d")
_NOAA = ("noaa-gml/ccg_dataProcessing", "0f01f8531a3034039b9b709d82f29a107a44a594")
_SCAM = "profile_test/scam_gateIII_215_YOG_testing.cam"


@dataclass(frozen=True)
class PublicFile:
    """Where a public file comes from, on what terms, and how to know it again.

    Args:
        origin: GitHub repository and commit.
        path: Path inside the repository.
        checksum: SHA-256 of the content.
        terms: Licence or terms of use.
    """

    origin: tuple[str, str]
    path: str
    checksum: str
    terms: str

    @property
    def address(self) -> str:
        """Web address of this very version of the file."""
        repository, commit = self.origin
        return f"https://raw.githubusercontent.com/{repository}/{commit}/{self.path}"


PUBLIC_FILES: dict[str, PublicFile] = {
    # CAM single-column run forced by GATE phase III: tendencies by process (h1), state (h2).
    "scam_gate3_h1.nc": PublicFile(
        _CAM,
        f"{_SCAM}.h1.1974-08-30-00000.nc",
        "ee31bab6252f4456ab0f802de501372e23bdd0c5fcd38ffb65251eed7a4d9f10",
        "MIT",
    ),
    "scam_gate3_h2.nc": PublicFile(
        _CAM,
        f"{_SCAM}.h2.1974-08-30-00000.nc",
        "3d753504eb6b1a79aa59035d6a5365e4087e608e5c9ad9b88a85306e61cce549",
        "MIT",
    ),
    # ERA5 on 1959-01-02 00 UTC, 37 pressure levels, TL31 Gaussian grid.
    "era5_tl31_19590102T00.nc": PublicFile(
        _NEURALGCM,
        "neuralgcm/data/era5_tl31_19590102T00.nc",
        "18f66e795af9f564a2b6e0d861b9a51e74ce831a82675b47ff957be709554a5e",
        "Apache-2.0; contains modified Copernicus data",
    ),
    # NCEP June climatology, 17 pressure levels, T42.
    "NCEP_06_climo.nc": PublicFile(
        _GEOCAT,
        "netcdf_files/NCEP_06_climo.nc",
        "e460921bafbbda0cab237c27e1793d420632f59fe5d9de58908867e092417405",
        "Apache-2.0",
    ),
    # January 1988 wind and temperature, 14 levels, T42.
    "uvt.nc": PublicFile(
        _GEOCAT,
        "netcdf_files/uvt.nc",
        "50c4445a0a6f255970aa7ec26de5c8bc638d39e941943529ab856999d795c2e0",
        "Apache-2.0",
    ),
    # Land-sea mask, 1 degree.
    "landsea.nc": PublicFile(
        _GEOCAT,
        "netcdf_files/landsea.nc",
        "d5c1618abe78a1740727ba665da9a5056ddfd2bc5b54a466d96139f1255aee09",
        "Apache-2.0",
    ),
    # ERA-Interim January and July climatology of u, v, z.
    "eraint_uvz.nc": PublicFile(
        _XARRAY,
        "eraint_uvz.nc",
        "8f4cd0f75418a8e8f8f957c3b007f49e68a58d1bdd0e028adeeb057889f635d2",
        "ECMWF ERA-Interim",
    ),
    # Monthly CO2 at Mauna Loa and its global mean; daily CO2 at Barrow.
    "co2-mm-mlo.csv": PublicFile(
        _CO2,
        "data/co2-mm-mlo.csv",
        "46c07e9423aa6ca0723bf6e892ba0ade1488ca6f7d3f14aa0cddd10272fbe59b",
        "PDDL-1.0; from NOAA GML",
    ),
    "co2-mm-gl.csv": PublicFile(
        _CO2,
        "data/co2-mm-gl.csv",
        "78da4527ee6caac4b31f384f0014876e283fd9ef290dfa7a510d402506923b74",
        "PDDL-1.0; from NOAA GML",
    ),
    "co2_brw_daily.txt": PublicFile(
        _NOAA,
        "ccg/src/dv/v8.0/grapher/co2_brw_surface-insitu_1_ccgg_DailyData.txt",
        "dfb4ff6298b6b512edfc40846d7d02a09c737de8099faa125b81a27a85aa7404",
        "CC0",
    ),
}


def fetch(name: str) -> Path:
    """Return the path of a public data file, downloading it if it is nowhere on this computer.

    Looked for in this order: the folder that the variable CLOSURA_DATA names; ``shared/data``
    beside a source checkout or beside the current folder; the user's cache; then upstream.

    Args:
        name: One of `PUBLIC_FILES`, e.g. ``"scam_gate3_h1.nc"``.

    Raises:
        ValueError: The name is not known, or the file's content is not what it should be.
        FileNotFoundError: The file is not here and cannot be downloaded.
    """
    if name not in PUBLIC_FILES:
        nearest = get_close_matches(name, PUBLIC_FILES, n=1, cutoff=0.3)
        guess = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ValueError(
            f"{name!r} is not a known public file; {guess}Known are: {', '.join(PUBLIC_FILES)}."
        )
    for folder in _folders():
        if (folder / name).is_file():
            return _verified(folder / name)
    return _download(name)


def _folders() -> list[Path]:
    """Return where to look, in order."""
    named = os.environ.get(FOLDER_VARIABLE)
    folders = [Path(named).expanduser()] if named else []
    root = Path(__file__).resolve().parents[3]  # of a checkout: src/closura/data/fetch.py
    if (root / "pyproject.toml").is_file():
        folders.append(root.parent / "shared" / "data")
    folders.append(Path.cwd().parent / "shared" / "data")
    return [*folders, _cache()]


def _cache() -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("closura")) / "data"


def _verified(path: Path) -> Path:
    """Return the path if its content is the pinned version."""
    found, wanted = _checksum(path), PUBLIC_FILES[path.name].checksum
    if found != wanted:
        raise ValueError(
            f"{path} has SHA-256 {found[:12]}..., the pinned version has {wanted[:12]}...; "
            f"delete it to download that version, or set {FOLDER_VARIABLE} to a folder that has it."
        )
    return path


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(name: str) -> Path:
    """Download a file into the cache: pooch renames it there only when the checksum is right."""
    file, cache = PUBLIC_FILES[name], _cache()
    try:
        found = pooch.retrieve(
            file.address, known_hash=f"sha256:{file.checksum}", fname=name, path=cache
        )
    except OSError as error:
        raise FileNotFoundError(
            f"{name} is not on this computer and could not be downloaded "
            f"({type(error).__name__}); put it into a folder and name that folder in "
            f"{FOLDER_VARIABLE}, or into {cache}. It comes from {file.address}"
        ) from error
    return Path(found)
