"""`python -m vesalius`."""

from vesalius.cli.main import main

if __name__ == "__main__":
    main()
