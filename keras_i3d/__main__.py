"""`python -m keras_i3d` is `keras-i3d`."""

from keras_i3d.cli import run

if __name__ == "__main__":
    run()
