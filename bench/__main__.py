"""`python -m bench`: the same as `python bench/run.py`.

The way in for `make bench`. It adds nothing to what run.py does.
"""

from bench.run import main

if __name__ == "__main__":
    main()
