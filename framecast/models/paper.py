"""Where a model is from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A publication.

    Args:
        authors: in the order of the paper, as BibTeX has them: "Shi, Xingjian and Chen, Zhourong".
        title: as printed.
        venue: abbreviated, such as NeurIPS.
        year: of the venue.
        arxiv: number, such as 1506.04214; empty where there is none.
        url: of a publication that is not on arXiv.
    """

    authors: str
    title: str
    venue: str
    year: int
    arxiv: str = ""
    url: str = ""

    @property
    def short(self) -> str:
        """Who, where and when.

        >>> Paper("Shi, Xingjian and Chen, Zhourong and Wang, Hao", "Nets", "NeurIPS", 2015).short
        'Shi et al., NeurIPS 2015'
        """
        names = [name.partition(",")[0] for name in self.authors.split(" and ")]
        who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        return f"{who}, {self.venue} {self.year}"

    @property
    def address(self) -> str:
        """Where it can be read; empty where nothing is known."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url

    def __str__(self) -> str:
        return f"{self.short}, arXiv:{self.arxiv}" if self.arxiv else self.short

    def bibtex(self, key: str) -> str:
        """The entry for a bibliography.

        >>> print(Paper("Bo, A", "On B", "NeurIPS", 2015, arxiv="1506.04214").bibtex("b"))
        @misc{b,
          author = {Bo, A},
          title = {On B},
          note = {NeurIPS},
          year = {2015},
          eprint = {1506.04214},
          archivePrefix = {arXiv},
        }
        """
        fields = {"author": self.authors, "title": self.title, "note": self.venue}
        fields |= {"year": str(self.year)}
        if self.arxiv:
            fields |= {"eprint": self.arxiv, "archivePrefix": "arXiv"}
        if self.url:
            fields["url"] = self.url
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
        return f"@misc{{{key},\n{lines}}}"
