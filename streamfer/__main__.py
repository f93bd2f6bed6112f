"""`python -m streamfer` is the command `streamfer`."""

from streamfer.cli import main

if __name__ == "__main__":
    main()
