"""The reader of logs, which many a verdict of these tests rests on."""

from pathlib import Path

from tests.support.logs import find_end, read_events


def test_a_point_in_the_log_is_never_in_the_middle_of_a_line(tmp_path: Path) -> None:
    log = tmp_path / "some.log"
    with log.open("w") as lines:
        marks = []
        for text in ('{"n": 1}\n{"n"', ": 2}\n", '{"n": 3}'):
            lines.write(text)
            lines.flush()
            marks.append(find_end(log))
        assert [[event["n"] for event in read_events(log, mark)] for mark in marks] == [[2], [], []]
        lines.write("\n")
    assert [[event["n"] for event in read_events(log, mark)] for mark in marks] == [[2, 3], [3], [3]]


def test_an_empty_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "some.log"
    log.write_text('{"n"')
    assert find_end(log) == 0
    assert [*read_events(log)] == []
