"""Reports read records and nothing else: tables, statistics, figures and one page."""

if __name__ != "bench.reports":
    # The installed package has one name, so that every class in it is made once.
    raise ImportError("this folder is the package bench.reports; import it under that name")
