"""How findings are shown."""

from objectomaly_ros.doctor.findings import Finding, as_document, as_text

REPORT = {
    "Packages": [Finding("ok", "numpy", "2.4"), Finding("error", "cv2", "is broken", "mend it")],
    "Empty": [],
    "Machine": [Finding("warning", "a name longer than most columns are", "1 core " * 20)],
}


def test_text_is_aligned_and_counts():
    text = as_text({"Packages": REPORT["Packages"]})
    assert text.splitlines() == [
        "Packages",
        "  ok       numpy  2.4",
        "  error    cv2    is broken",
        "                  -> mend it",
        "",
        "1 error, 0 warnings",
    ]


def test_areas_without_findings_are_left_out():
    text = as_text(REPORT)
    assert "Empty" not in text
    assert "\n\nMachine\n" in text


def test_long_lines_are_filled_to_the_width():
    lines = as_text(REPORT, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("1 core" in line for line in lines) > 1


def test_colours_only_on_request():
    assert "\033" not in as_text(REPORT)
    coloured = as_text(REPORT, colour=True)
    assert "\033[31merror\033[0m" in coloured
    assert coloured.count("\033[0m") == 3


def test_names_cannot_control_the_terminal():
    text = as_text({"Topics": [Finding("error", "\033[2J", "\033]0;title\a", "\033c")]})
    assert "\033" not in text
    assert "\a" not in text


def test_document():
    document = as_document(REPORT, version="1")
    assert (document["ok"], document["errors"], document["warnings"]) == (False, 1, 1)
    assert document["version"] == "1"
    assert document["findings"][1] == {
        "area": "Packages",
        "level": "error",
        "subject": "cv2",
        "found": "is broken",
        "remedy": "mend it",
    }
    assert as_document({"Machine": REPORT["Machine"]})["ok"]
