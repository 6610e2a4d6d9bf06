"""``python -m learngn``: the program, where its script is not on the path."""

from learngn.cli import main

if __name__ == "__main__":  # not in the processes of workers, which import this file where they are spawned
    main()
