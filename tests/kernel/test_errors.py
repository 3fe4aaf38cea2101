import re

import pytest

from splitwire import errors
from splitwire.errors import SplitwireError

CLASSES = {name: getattr(errors, name) for name in errors.__all__}


def drawn() -> dict[str, str]:
    """Child -> parent, as the module's docstring draws them."""
    parents: list[str] = ["SplitwireError"]
    tree = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"((?:│   )*)[├└]── (\w+)", line)
        if match:
            depth = len(match[1]) // 4 + 1
            tree[match[2]] = parents[depth - 1]
            parents[depth:] = [match[2]]
    return tree


def test_the_drawn_tree_is_the_real_one() -> None:
    assert drawn() == {name: c.__base__.__name__ for name, c in CLASSES.items() if name != "SplitwireError"}


def test_all_is_complete() -> None:
    defined = [n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, SplitwireError)]
    assert sorted(defined) == errors.__all__


@pytest.mark.parametrize("name", errors.__all__)
def test_the_text_is_the_message(name: str) -> None:
    assert str(CLASSES[name]("what was wrong")) == "what was wrong"
