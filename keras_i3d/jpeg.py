"""A picture as the bytes of a JPEG."""

import io

from keras_i3d.errors import missing_package


def encode(image, quality, **settings):
    """Returns an image, uint8 (H, W, 3), as a JPEG.

    Args:
        image: the pixels.
        quality: as libjpeg takes it, 1 to 100.
        **settings: further ones, for Pillow's writer.

    Raises:
        ImportError: Pillow is not installed; the message has the install line.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("PIL", "pillow", "Writing JPEGs") from error
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, **settings)
    return buffer.getvalue()
