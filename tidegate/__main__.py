"""`python -m tidegate` is the command line."""

from tidegate.cli.main import run

if __name__ == "__main__":
    run()
