"""The checksum that TensorFlow's own files carry, so that damaged ones can be made that pass for sound."""

import functools


@functools.lru_cache(16)
def crc32c(data):
    """Returns the checksum of bytes in TFRecord files and checkpoints: CRC-32C, masked as there."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table
