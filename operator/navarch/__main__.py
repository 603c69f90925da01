"""`python -m navarch` and the `navarch` command."""

from __future__ import annotations

from navarch.cli.commands import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
