"""`python -m vessel_core.cli` is the `vessel` command."""

from vessel_core.cli import main

if __name__ == "__main__":
    main()
