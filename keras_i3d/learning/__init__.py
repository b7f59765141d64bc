"""From a folder of videos to an evaluated, exported model: what `keras-i3d learn` chooses, and the commands it runs."""
