"""The scenarios, one a file; a module registers its class with ``@scenario`` when it is imported."""

if __name__ != "bench.scenarios":
    # The installed package has one name, so that every class in it is made once.
    raise ImportError("this folder is the package bench.scenarios; import it under that name")
