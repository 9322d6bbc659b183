"""The site as it is built, in a browser, on a screen as wide as a phone's, without any network but its own server."""

import contextlib
import functools
import http.server
import subprocess
import sys
import threading

import pytest
from pages import ROOT

PHONE = {"width": 390, "height": 844}
LEAST_PAGES = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a fresh build."""
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", out / "trees"]
    built = subprocess.run([*command, "docs", out / "html"], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def copyfile(self, source, outputfile):
            with contextlib.suppress(ConnectionError):  # a page was left
                super().copyfile(source, outputfile)

    handler = functools.partial(Quiet, directory=out / "html")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield out / "html", f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Watched:
    """A tab, and what went wrong in it."""

    def __init__(self, browser):
        self.context = browser.new_context(viewport=PHONE)
        self.tab = self.context.new_page()
        self.asked, self.wrong = [], []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("requestfailed", self.failed)
        self.tab.on("response", lambda r: self.wrong.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        self.tab.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)

    def failed(self, request):
        """What a page that is left no longer waits for did not fail."""
        if request.failure != "net::ERR_ABORTED":
            self.wrong.append(f"{request.failure}: {request.url}")


def test_every_page_on_a_phone(site, browser):
    folder, base = site
    watched = Watched(browser)
    pages = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    assert len(pages) >= LEAST_PAGES
    for path in pages:
        name = path.relative_to(folder).as_posix()
        watched.tab.goto(base + name, wait_until="load")
        watched.tab.eval_on_selector_all("img", "images => images.forEach(i => i.loading = 'eager')")
        watched.tab.wait_for_function("[...document.images].every(i => i.complete)")
        broken = "images => images.filter(i => i.naturalWidth === 0).map(i => i.src)"
        assert watched.tab.eval_on_selector_all("img", broken) == [], name
        assert watched.tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], f"{name} is too wide"
    assert watched.wrong == []
    assert [url for url in watched.asked if not url.startswith((base, "data:"))] == []


def test_formulae_are_drawn_without_a_script(site, browser):
    _, base = site
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    tab = context.new_page()
    tab.goto(base + "explanation/method.html")
    sizes = tab.eval_on_selector_all("article math", "all => all.map(m => m.getBoundingClientRect().height)")
    assert len(sizes) >= 10 and min(sizes) > 5
    fraction = "article math[display=block] mfrac, article math[display=block] msubsup, article math munder"
    assert tab.locator(fraction).count() >= 1
    assert "$$" not in tab.locator("article").inner_text()
    context.close()


def test_search_finds_a_class_and_a_word(site, browser):
    _, base = site
    watched = Watched(browser)
    for word, page in (
        ("ImplicitPolicy", "reference/control.html"),
        ("wheelbase", "generated/environments/bicycle5.html"),
    ):
        watched.tab.goto(f"{base}search.html?q={word}")
        watched.tab.wait_for_selector("#search-results ul.search li a")
        found = watched.tab.eval_on_selector_all("#search-results ul.search li a", "links => links.map(a => a.href)")
        assert any(page in address for address in found), (word, found)
    assert watched.wrong == []


def test_tables_are_of_the_catalogue(site):
    from pontryagin.envs.catalog import PROBLEMS

    folder, _ = site
    for name in PROBLEMS:
        text = (folder / "generated" / "environments" / f"{name}.html").read_text(encoding="utf-8")
        assert "Observation" in text and "terminated" in text and "<img" in text, name
