"""The methods, one a file; a module registers its class with ``@method`` when it is imported."""

if __name__ != "bench.methods":
    # The installed package has one name, so that every class in it is made once.
    raise ImportError("this folder is the package bench.methods; import it under that name")
