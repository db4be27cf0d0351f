"""The check of the site's links: it finds what leads nowhere, and lets pass what leads somewhere."""

import runpy
from pathlib import Path

BROKEN_LINKS = runpy.run_path(str(Path(__file__).parent.parent / "docs" / "check_links.py"))["broken_links"]


def site(folder: Path, links: list[str]) -> Path:
    (folder / "below").mkdir()
    (folder / "picture.png").write_bytes(b"")
    (folder / "below" / "other.html").write_text('<h1 id="there">Other</h1>')
    (folder / "index.html").write_text('<h1 id="top">Start</h1>' + "".join(f'<a href="{link}">x</a>' for link in links))
    return folder


def test_links_that_lead_somewhere_pass(tmp_path):
    good = ["#top", "below/other.html", "below/other.html#there", "picture.png", "https://example.org/a?b=c#d"]
    assert BROKEN_LINKS(site(tmp_path, good)) == []


def test_each_link_that_leads_nowhere_is_named(tmp_path):
    bad = ["#nowhere", "below", "below/gone.html", "below/other.html#gone", "http:/example", "https://nodots"]
    assert BROKEN_LINKS(site(tmp_path, bad)) == [f"index.html: {link}" for link in sorted(bad)]
