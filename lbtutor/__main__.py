"""`python -m lbtutor` is `lbtutor`."""

from lbtutor.cli.app import main

if __name__ == "__main__":
    main()
