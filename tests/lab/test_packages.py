"""Which Debian packages a lab would install."""

from lab.packages import ensure_packages, missing_packages


def test_an_unknown_package_is_missing() -> None:
    assert missing_packages(["navarch-no-such-package"]) == ["navarch-no-such-package"]


def test_nothing_is_done_when_nothing_is_wanted() -> None:
    assert missing_packages([]) == []
    ensure_packages([])
