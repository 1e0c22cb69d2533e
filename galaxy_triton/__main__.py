"""`python -m galaxy_triton`, and what torchrun starts."""

from galaxy_triton.cli import main

if __name__ == "__main__":
    main()
