"""The border: the only readers and writers of files, and the way from States to xarray and back."""
