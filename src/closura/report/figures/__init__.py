"""The figures of a report, one subject a file; each returns a picture or the reason for none."""
