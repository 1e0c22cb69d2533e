"""`python -m galaxy_triton`, and what torchrun starts."""

from galaxy_triton.cli.main import main

if __name__ == "__main__":
    main()
