"""`python -m framecast`, which torchrun needs."""

from framecast.cli import main

if __name__ == "__main__":
    main()
