"""The selector language of Calico: which labels an endpoint or network set must have.

    >>> parse("has(team) && role in {'db', 'cache'}").matches({"team": "x", "role": "db"})
    True

`tokens` splits the text, `parser` builds the tree, `ast` is the tree with its truth and canonical text, `restrict`
says what a selector demands of single labels (for indexes), and `rewrite` moves a selector into another name space of
labels.
"""

from policy.selectors.ast import Expression
from policy.selectors.parser import parse
from policy.selectors.selector import ALL, Selector
from policy.selectors.tokens import SelectorError

__all__ = ["ALL", "Expression", "Selector", "SelectorError", "parse"]
