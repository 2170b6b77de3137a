"""How files of each family begin; their names say nothing."""

import re

CONTAINERS = re.compile(
    rb".{4}(ftyp|moov|mdat|moof|free|skip|wide|pnot)|\x1aE\xdf\xa3|RIFF.{4}AVI |FLV|OggS|DKIF|"
    rb"\.RMF|pmpm|0&\xb2u\x8ef\xcf\x11|\0\0\x01\xba|\x06\x0e\+4|YUV4MPEG2|G.{187}G",
    re.DOTALL,
)
ARRAYS = re.compile(rb"\x93NUMPY|PK\x03\x04")
LONGEST = 512  # bytes that tell
