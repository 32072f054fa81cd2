"""A selector as the rest of the program holds it: a tree, its canonical text, its id."""

from dataclasses import dataclass, field

from policy.identity import unique_id
from policy.selectors.ast import All, Expression, Labels


@dataclass(frozen=True, slots=True)
class Selector:
    """Equal to another selector if and only if the canonical texts are; hashing costs one string."""

    expression: Expression = field(compare=False, repr=False)
    canonical: str = field(init=False)
    """Filled from `expression`: and/or in parentheses, sets sorted, double quotes unless the value holds one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "canonical", str(self.expression))

    @property
    def id(self) -> str:
        """Short and stable: `s:` and SHA-224 of the canonical text (Calico: selector unique id)."""
        return unique_id("s", self.canonical)

    def matches(self, labels: Labels) -> bool:
        """Whether something with these labels is selected."""
        return self.expression.matches(labels)


ALL = Selector(All())
"""Selects everything."""
