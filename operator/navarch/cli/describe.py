"""`navarch describe`: prints the tree of a mesh.

Owns its three forms. Must never decide what is in it. Invariant: as cli/check.py's.
"""

from __future__ import annotations

import json

import yaml
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from navarch.cli.check import STYLES
from navarch.cli.terminal import escape, escape_tree
from navarch.core.diagnosis.node import Node
from navarch.core.diagnosis.tree import TREE_VERSION
from navarch.core.model.plain_yaml import PlainDumper


def print_json(node: Node) -> None:
    """The tree for programs."""
    print(json.dumps({"schema": TREE_VERSION, "tree": node.to_json()}, indent=2))


def print_yaml(node: Node) -> None:
    """The same as YAML."""
    document = {"schema": TREE_VERSION, "tree": escape_tree(node.to_json())}
    print(yaml.dump(document, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=1000), end="")


def print_text(node: Node, console: Console) -> None:
    """The tree for people."""
    console.print(_grow(node, None))


def _grow(node: Node, parent: Tree | None) -> Tree:
    label = _build_label(node)
    tree = Tree(label) if parent is None else parent.add(label)
    for child in node.children:
        _grow(child, tree)
    return tree


def _build_label(node: Node) -> Text:
    label = Text.assemble((_name(node), "bold"))
    if node.summary:
        label.append(f"  {escape(node.summary)}")
    for trouble in node.troubles:
        label.append(f"\n{trouble.severity.value} {trouble.id}", STYLES[trouble.severity])
        label.append(f": {escape(trouble.message)}")
        label.append(f"\n  do: {escape(trouble.remedy)}", "dim")
    return label


def _name(node: Node) -> str:
    if node.name == node.kind.lower():
        return node.kind
    name = escape(node.name)
    return name if node.kind == "CRDs" else f"{node.kind} {name}"
