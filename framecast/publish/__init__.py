"""Pass a model on: weights with a card, in a folder or on the Hugging Face hub."""

from framecast.publish.card import Said
from framecast.publish.pack import Packed, pack
from framecast.publish.push import push

__all__ = ["Packed", "Said", "pack", "push"]
