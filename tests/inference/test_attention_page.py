"""attention.html: self-contained, escaped and small; then as a person sees it, in a headless browser."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from lit_transformer.config.errors import UserError
from lit_transformer.inference.attend import Attention
from lit_transformer.inference.attention_page import attention_html, check_page, page_data, write_attention

XSS = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<b>", "<!--",
    '"><svg onload=alert(1)>', "&lt;b&gt;", "${alert(1)}", "$title", "]]>", "\u2028alert(1)", "\x01\x1b[31m", "\u202e",
    "", " ", "\n", "\t", "é", "\ufffd",
)  # fmt: skip


def weights_of(heads: int, queries: int, keys: int, *, causal: bool = False, seed: int = 0) -> NDArray[np.float32]:
    scores = 2 * np.random.default_rng(seed).normal(size=(heads, queries, keys))
    scores = np.where(np.tri(queries, keys) > 0, scores, -np.inf) if causal else scores
    exponentials = np.exp(scores)
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


def gpt(tokens: list[str], layers: int = 2, heads: int = 3, **given: Any) -> Attention:
    weights = {f"decoder/{i}": weights_of(heads, len(tokens), len(tokens), causal=True, seed=i) for i in range(layers)}
    return Attention(**{"run": "runs/gpt/1", "model": "gpt, num_layers 2", "text": "".join(tokens), "tokens": tokens,
                        "target_tokens": None, "weights": weights} | given)  # fmt: skip


def translation() -> Attention:
    source, target = ["The", " animal", " was", " tired", "</s>"], ["<pad>", "Das", " Tier", " war"]
    weights = {"encoder/0": weights_of(2, 5, 5)}
    weights |= {f"decoder/{layer}": weights_of(2, 4, 4, causal=True, seed=1 + layer) for layer in range(2)}
    weights |= {f"cross/{layer}": weights_of(2, 4, 5, seed=3 + layer) for layer in range(2)}
    return gpt(source, text="The animal was tired", model="t5", target_tokens=target, weights=weights)


def test_data_hold_every_weight_to_three_digits() -> None:
    found = translation()
    sides: Any = page_data(found)["sides"]
    assert [side["name"] for side in sides] == ["encoder", "decoder", "cross"]
    for side in sides:
        assert (side["queries"], side["keys"]) == found.tokens_of(side["name"])
        for layer, weights in zip(side["layers"], found.layers_of(side["name"]), strict=True):
            for head, expected in zip(layer, weights, strict=True):
                filled = [row + [0] * (expected.shape[1] - len(row)) for row in head]
                np.testing.assert_array_equal(filled, np.rint(expected * 1000))
    causal = sides[1]["layers"][0][0]
    assert [len(row) for row in causal] == [1, 2, 3, 4]  # what a query may not see is not written


def test_page_asks_nothing_of_anybody_and_is_titled() -> None:
    page = attention_html(gpt(["a", " b"]))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|\bsrc=|@import|url\(", page)
    assert "default-src 'none'" in page
    assert "<title>Attention in a b</title>" in page and "runs/gpt/1 · gpt, num_layers 2 · tokens 2" in page
    long = attention_html(gpt(["word "] * 100))
    assert "<title>Attention in word word" in long and len(re.findall(r"<h1.*?>(.*)</h1>", long)[0]) < 250


def test_a_page_of_bert_base_over_128_tokens_is_at_most_8_mb() -> None:
    weights = {f"encoder/{layer}": weights_of(12, 128, 128, seed=layer) for layer in range(12)}
    assert len(attention_html(gpt(["token"] * 128, weights=weights)).encode()) <= 8_000_000
    with pytest.raises(UserError, match=r"(?s)got +150000000.*allowed +12000000.*shorter text"):
        attention_html(gpt(["a"], weights={"decoder/0": np.zeros((15, 1000, 10000), dtype=np.float32)}))


def test_arrays_lie_beside_the_page(tmp_path: Path) -> None:
    found = translation()
    arrays = write_attention(found, tmp_path / "page.html")
    assert arrays == tmp_path / "page.npz" and sorted(tmp_path.iterdir()) == [tmp_path / "page.html", arrays]
    read = np.load(arrays)
    assert set(read) == {*found.weights, "tokens", "target_tokens"}
    assert all(np.array_equal(read[name], weights) for name, weights in found.weights.items())
    assert read["tokens"].tolist() == found.tokens and read["target_tokens"].tolist() == found.target_tokens


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere/page.html", "allowed  a file in a folder that exists\n  fix      mkdir -p"),
        ("page.npz", "allowed  a file's name that ends in .html"),
        ("page", "fix      --output page.html"),
        ("folder.html", "folder.html, which is a folder"),
    ],
)
def test_pages_that_cannot_be_written_are_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UserError) as caught:
        check_page(tmp_path / name)
    assert words in str(caught.value)
    with pytest.raises(UserError):
        write_attention(gpt(["a"]), tmp_path / name)


def test_a_full_disk_is_a_users_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lit_transformer.inference.attention_page.write_atomic", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); name another file"):
        write_attention(gpt(["a"]), tmp_path / "page.html")


@dataclass
class Seen:
    """What a page did while it was looked at."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def point_at(self, query: int, key: int) -> str:
        """Move the pointer to a cell of the large map; the tip that appears."""
        size = int(self.page.get_attribute("#field", "data-size") or 0)
        self.page.hover("#field", position={"x": (key + 0.5) * size, "y": (query + 0.5) * size})
        return self.page.locator("#tip").inner_text()


@pytest.fixture
def look(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Seen]]:
    """Opens a page with the network cut off; afterwards it must have said nothing and asked for nothing."""
    opened: list[Seen] = []

    def open_page(found: Attention, width: int = 1400, height: int = 900, scheme: str = "light") -> Seen:
        write_attention(found, tmp_path / "page.html")
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        page.set_default_timeout(120_000)
        seen = Seen(page)
        opened.append(seen)
        page.on("console", lambda message: seen.messages.append(message.text))
        page.on("pageerror", lambda error: seen.messages.append(str(error)))
        page.on("dialog", lambda dialog: (seen.messages.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.route(re.compile("^(?!file:|data:)"), lambda route: route.abort())
        page.goto((tmp_path / "page.html").as_uri())
        return seen

    yield open_page
    for seen in opened:
        seen.page.close()
        assert seen.messages == []
        assert [url[:5] for url in seen.requests if not url.startswith("data:")] == ["file:"]


def test_pointing_shows_the_weight_of_the_head_and_layer_chosen(look: Callable[..., Seen]) -> None:
    found = gpt(["The", " animal", " was", " tired"])
    seen = look(found)
    assert seen.page.title() == "Attention in The animal was tired"
    assert seen.texts("#heads button") == ["Mean of heads", "Head 0", "Head 1", "Head 2"]
    mean = found.weights["decoder/0"].mean(axis=0)
    tip, shown = seen.point_at(3, 1).rsplit(maxsplit=1)
    assert tip == "·tired → ·animal" and float(shown) == pytest.approx(mean[3, 1], abs=1e-3)
    seen.page.get_by_role("button", name="Head 2").click()
    seen.page.locator("#layers label").nth(1).click()
    assert seen.page.locator("#map-title").inner_text() == "Head 2, decoder, layer 1"
    assert seen.page.locator("#heads [aria-pressed=true]").all_inner_texts() == ["Head 2"]
    for query, key in ((0, 0), (2, 1), (3, 3), (1, 3)):
        shown = f"{found.weights['decoder/1'][2, query, key]:.3f}"
        assert seen.point_at(query, key).endswith(shown)
        assert shown in seen.page.locator("#readout").inner_text()
    seen.page.mouse.move(2, 2)
    assert seen.page.locator("#tip").is_hidden()


def test_pointing_at_a_token_shades_what_it_looks_at(look: Callable[..., Seen]) -> None:
    found = translation()
    seen = look(found)
    assert seen.texts("#sides label") == ["encoder", "decoder", "cross"] and seen.texts("#layers label") == ["0"]
    seen.page.get_by_text("cross", exact=True).click()
    assert seen.texts("#layers label") == ["0", "1"]
    seen.page.get_by_role("button", name="Head 1").click()
    assert seen.texts("#rows span") == ["<pad>", "Das", "·Tier", "·war"] == seen.texts("#queries button")
    assert seen.texts("#keys .key") == ["The", "·animal", "·was", "·tired", "</s>"] == seen.texts("#columns span")
    seen.page.get_by_role("button", name="·Tier").hover()
    weights = found.weights["cross/0"][1, 2]
    assert seen.texts("#keys .value") == [f"{weight:.3f}" for weight in weights]
    shares = seen.page.eval_on_selector_all(
        "#keys .key", "nodes => nodes.map(n => n.style.getPropertyValue('--share'))"
    )
    np.testing.assert_allclose([float(share) ** 2 for share in shares], weights, atol=5e-4)
    assert seen.page.locator("#rows .on").inner_text() == "·Tier"
    assert seen.page.locator("#query-lines line").count() == (weights >= 0.005).sum()


@pytest.mark.parametrize(("first", "then", "sign"), [("light", "dark", 1), ("dark", "light", -1)])
def test_colours_follow_the_weights_and_the_scheme(look: Callable[..., Seen], first: str, then: Any, sign: int) -> None:
    found = gpt(["a", "b", "c", "d"], layers=1, heads=1)
    seen = look(found, scheme=first)
    ramp = seen.page.evaluate("document.getElementById('ramp').style.background")
    seen.page.emulate_media(color_scheme=then)
    seen.page.wait_for_function("before => document.getElementById('ramp').style.background !== before", arg=ramp)
    pixels = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    light = np.array(seen.page.eval_on_selector("#cells", pixels)).reshape(16, 4)[:, :3].sum(axis=1)
    order = np.argsort(found.weights["decoder/0"][0], axis=None, kind="stable")
    assert (np.diff(sign * light[order]) >= 0).all() and sign * (light[order[-1]] - light[order[0]]) > 300


def test_everything_is_reached_by_keyboard(look: Callable[..., Seen]) -> None:
    found = gpt(["a", " b", " c"])
    seen = look(found)
    keyboard = seen.page.keyboard
    seen.page.locator("#layers input").first.focus()
    keyboard.press("ArrowRight")
    assert seen.page.locator("#map-title").inner_text() == "Mean of heads, decoder, layer 1"
    keyboard.press("Tab")
    keyboard.press("Tab")
    keyboard.press("Enter")
    assert seen.page.locator("#map-title").inner_text() == "Head 0, decoder, layer 1"
    seen.page.locator("#map").focus()
    for key in ("ArrowUp", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        keyboard.press(key)
    weights = found.weights["decoder/1"][0]
    assert seen.page.locator("#readout").inner_text() == f"·b (1) → ·b (1): {weights[1, 1]:.3f}"
    keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.textContent") == "·b"
    keyboard.press("ArrowDown")
    assert seen.page.evaluate("document.activeElement.textContent") == "·c"
    assert seen.texts("#keys .value") == [f"{weight:.3f}" for weight in weights[2]]


@pytest.mark.parametrize("count", [1, 128])
@pytest.mark.parametrize("width", [390, 1400])
def test_short_and_long_texts_fit_phone_and_desk(look: Callable[..., Seen], count: int, width: int) -> None:
    found = gpt([f" token{index}" for index in range(count)], heads=1 if count == 1 else 8)
    seen = look(found, width=width, scheme="dark" if width == 390 else "light")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(seen.texts("#heads button")) == (1 if count == 1 else 9)
    seen.page.locator("#heads button").last.click()
    last = found.weights["decoder/0"][-1, -1]
    assert seen.page.locator("#readout").inner_text().endswith(f"{last[0]:.3f}")
    assert int(seen.page.get_attribute("#field", "data-size") or 0) >= 11  # its tokens can be read
    channels = re.findall(r"\d+", seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (max(map(int, channels[:3])) < 60) == (width == 390)


def test_hostile_tokens_and_names_never_become_markup(look: Callable[..., Seen]) -> None:
    hostile = "".join(XSS)
    found = gpt([*XSS], text=hostile, run=hostile, model=hostile)
    seen = look(found)
    assert seen.page.locator("img, b, svg svg, h1 *, #about *, #rows span *, #queries button *").count() == 0
    assert seen.page.locator("h1").text_content().startswith(XSS[0])  # type: ignore[union-attr]
    tokens = seen.texts("#rows span")
    assert tokens[: len(XSS) - 9] == [*XSS[:-9]]
    assert tokens[-9:] == ["‹2028›alert(1)", "‹1›‹1b›[31m", "‹202e›", "∅", "·", "⏎", "⇥", "é", "\ufffd"]
    for query in range(len(XSS)):
        seen.point_at(query, 0)
    assert seen.page.locator("img, #tip svg, #readout *").count() == 0
    data = re.search(r'id="data">(.*?)</script>', attention_html(found), re.DOTALL)
    assert data and json.loads(data.group(1))["sides"][0]["keys"] == [*XSS]
