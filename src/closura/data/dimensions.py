"""Which dimensions of a file count samples, belong to one sample, or tell records apart."""

from dataclasses import dataclass

import xarray as xr


@dataclass(frozen=True)
class SampleDims:
    """How the dimensions of a file become those of pairs, (series, sample, *levels).

    Args:
        sample: Counts samples.
        levels: Belong to one sample, in order.
        series: Whose points are records of their own.
    """

    sample: str
    levels: tuple[str, ...]
    series: tuple[str, ...]

    def arrange(self, array: xr.DataArray) -> xr.DataArray:
        """Return an array with dimensions (series, sample, *levels)."""
        kept = (*self.series, self.sample, *self.levels)
        array = array.squeeze([d for d in array.dims if d not in kept and array.sizes[d] == 1])
        foreign = [str(dim) for dim in array.dims if dim not in kept]
        if foreign:
            raise ValueError(
                f"{array.name!r} has dimensions {dict(array.sizes)}; wanted are "
                f"{' and '.join(map(repr, kept))}. Name {foreign[0]!r} as level= (part of a "
                "sample) or series= (records of their own), or select one point first."
            )
        if self.sample not in array.dims:
            raise ValueError(
                f"{array.name!r} has dimensions {dict(array.sizes)} and does not depend on "
                f"{self.sample!r}; leave it out: what never changes teaches nothing."
            )
        missing = [dim for dim in self.series if dim not in array.dims]
        array = array.expand_dims(missing)
        within = [dim for dim in self.levels if dim in array.dims]
        array = array.transpose(*self.series, self.sample, *within)
        if not self.series:
            return array.expand_dims("series")
        if len(self.series) == 1:
            return array.rename({self.series[0]: "series"})
        return (
            array.drop_vars(self.series, errors="ignore")
            .stack(series=self.series)
            .transpose("series", ...)
        )
