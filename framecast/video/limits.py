"""What a file may cost before it is refused: bounds on what comes out of it, not on what it says.

They hold in the child process that decodes; `read` has one more, since it keeps all frames.
"""

PIXELS = 2**26  # of one frame, stored or asked for: 8192×8192, twice the size of 8K films
FRAMES = 5_000_000  # of one film: 46 hours at 30 a second
PICTURE_FRAMES = 20_000  # of one gif, webp, apng or avif: eleven minutes at 30 a second
SECONDS = 20  # of CPU from one decoded frame to the next
MEMORY = 3 * 2**30  # bytes that the child may ask for on top of what it starts with
STALL = 40.0  # seconds by the clock without a sign of progress
START = 60.0  # seconds by the clock until the child is there: a busy machine, a slow disk
FILES = 16  # open files of the child: its own few, and those handed to it
