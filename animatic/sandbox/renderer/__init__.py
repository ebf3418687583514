"""The pictures of a clip: a still in layers, a camera that moves before them, an encoder."""
