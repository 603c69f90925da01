"""What others wrote reaches a terminal as text, with any content."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from navarch.cli.check import _build_lines
from navarch.cli.describe import _build_label, print_json, print_yaml
from navarch.cli.terminal import LONGEST, escape
from navarch.core.diagnosis.node import Node
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.model.findings import Severity

EVIL = "a\x1b[2J\x9b31m\ud800\u202egpj.exe\r\nb\x00"


@given(st.text(st.characters(), max_size=200))
def test_every_escaped_text_can_be_seen_and_written(text: str) -> None:
    told = escape(text)
    told.encode()
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in told)


def test_words_stay_as_they_are_and_long_ones_are_cut() -> None:
    assert escape("Größe: 1 µs, 日本") == "Größe: 1 µs, 日本"
    assert escape(EVIL) == r"a\e[2J\x9b31m\ud800\u202egpj.exe\r\nb\x00"
    assert escape("x" * (LONGEST + 10)) == "x" * LONGEST + "… (10 characters more)"


def test_a_report_and_a_tree_hold_no_escape_sequence(capsys: object) -> None:
    diagnosis = Diagnosis("X", Severity.ERROR, Subject(EVIL, EVIL, EVIL), EVIL, EVIL, field=EVIL, value=EVIL)
    told = "".join(line.plain for line in _build_lines(diagnosis))
    node = Node("Mesh", EVIL, EVIL)
    told += _build_label(node).plain
    told.encode()
    assert "\x1b" not in told
    assert "\x9b" not in told


def test_forms_for_programs_can_be_written_too(capsys: object) -> None:
    node = Node("Mesh", EVIL, EVIL)
    print_json(node)
    print_yaml(node)
