"""The prompt studio in a browser: advice, fixes and undo, by keyboard too; final prompt; gallery; own styles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

import styles
from tests.browser.test_player import generate, wait_until_played

pytestmark = pytest.mark.browser

PROMPT = "#wan-prompt textarea"
PILED = "震撼，绝美，一座雪山"
MINE = [{"name": "Chalk", "name_zh": "粉笔", "prompt": "{prompt}, chalk on slate", "suits_zh": "黑板报"}]


def advise(page: Page, prompt: str) -> None:
    page.fill(PROMPT, prompt)
    page.wait_for_function("text => wan.advised() === text", arg=prompt)


def prompt_is(page: Page, text: str) -> None:
    page.wait_for_function(f"text => document.querySelector('{PROMPT}').value === text", arg=text)


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.className || document.activeElement.tagName")


def test_parts_and_findings_come_while_one_types(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.fill(PROMPT, "")
    page.type(PROMPT, "几棵树，", delay=20)
    page.wait_for_selector(".wan-part[data-kind=subject]:has-text('几棵树')")
    assert "数量含糊" in page.inner_text(".wan-findings")
    page.type(PROMPT, "一个女孩和一只狗在海边，逆光", delay=20)
    page.wait_for_selector(".wan-part[data-kind=scene]:has-text('海边')")  # until then both are proposed, not found
    page.wait_for_selector(".wan-part[data-kind=light]:has-text('逆光')")
    assert page.locator(".wan-part[data-kind=scene]").inner_text().startswith("场景")
    assert page.locator(".wan-fix[data-kind=weight]").inner_text().split() == ["加权", "(女孩:1.3)"]
    page.click(".wan-part[data-kind=light]")
    chosen = page.evaluate(f"(() => {{ const a = document.querySelector('{PROMPT}'); "
                           "return a.value.slice(a.selectionStart, a.selectionEnd); })()")  # fmt: skip
    assert chosen == "逆光"
    page.click(".wan-language")
    page.wait_for_selector(".wan-part[data-kind=light]:has-text('Light')")
    assert "vague number" in page.inner_text(".wan-findings")


def test_every_kind_of_fix_is_one_click_and_taken_back(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    for prompt, kind in ((PILED, "reduce"), ("几棵树", "replace"), ("一只猫，一只狗，草地上", "weight")):
        advise(page, prompt)
        rule = next(finding for finding in styles.coach(prompt) if finding.fix.kind == kind)
        page.click(f".wan-fix[data-kind={kind}]")
        prompt_is(page, rule.fix.prompt)
        page.wait_for_function("text => wan.advised() === text", arg=rule.fix.prompt)
        assert page.locator(f".wan-fix[data-kind={kind}]").count() == 0
        page.click(".wan-undo")
        prompt_is(page, prompt)
    assert page.is_hidden(".wan-undo")


def test_a_missing_part_is_added_where_it_belongs(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.evaluate("wan.choose('')")
    advise(page, "静卧的猎豹，逆光")
    page.wait_for_selector("button.wan-missing[data-kind=style]")
    page.click(".wan-missing[data-kind=scene]")
    prompt_is(page, "静卧的猎豹，雨后东京街头，逆光")
    page.wait_for_selector(".wan-part[data-kind=scene]:not(.wan-missing)")


def test_the_studio_by_keyboard_alone(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    advise(page, "一座雪山，几棵树，震撼，绝美")
    page.focus(PROMPT)
    for _ in range(12):
        page.keyboard.press("Tab")
        if "wan-fix" in focused(page):
            break
    assert "wan-fix" in focused(page)
    page.keyboard.press("Enter")
    prompt_is(page, "一座雪山，3棵松树，树干直径约40cm，震撼，绝美")
    assert "wan-undo" in focused(page), "the way back has the focus, not a button that is gone"
    page.wait_for_function("wan.advised().includes('3棵松树')")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert "wan-fix" in focused(page), "and the next fix comes behind it"
    page.keyboard.press("Enter")
    prompt_is(page, "一座雪山，3棵松树，树干直径约40cm")
    page.keyboard.press("Enter")
    prompt_is(page, "一座雪山，3棵松树，树干直径约40cm，震撼，绝美")
    page.keyboard.press("Control+z")
    prompt_is(page, "一座雪山，几棵树，震撼，绝美")
    assert focused(page) == page.evaluate(f"document.querySelector('{PROMPT}').className"), "nothing is left to undo"


def test_ctrl_z_in_the_prompt_and_undo_go_back_through_what_was_typed(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    advise(page, PILED)
    page.click(".wan-fix[data-kind=reduce]")
    prompt_is(page, "一座雪山")
    page.focus(PROMPT)
    page.keyboard.press("Control+z")
    prompt_is(page, PILED)
    page.keyboard.press("Control+Shift+z")
    prompt_is(page, "一座雪山")
    page.keyboard.press("End")
    page.keyboard.type("，晨雾")
    prompt_is(page, "一座雪山，晨雾")
    for _ in range(6):
        if page.is_visible(".wan-undo"):
            page.click(".wan-undo")
    prompt_is(page, PILED)


def test_advice_never_stands_in_the_way(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.route("**/wan/coach", lambda route: route.abort())
    generate(page, "美丽梦幻震撼 fps=40")
    assert wait_until_played(page)["state"]["state"] == "done"


@pytest.mark.parametrize(
    ("field", "text", "char"), [("prompt", "🐱(红色:1.3的球", "的"), ("negative_prompt", "糊)", ")")]
)
def test_malformed_weights_are_marked_at_the_character(
    url: str, open_page: Callable[..., Page], field: str, text: str, char: str
) -> None:
    page = open_page(url)
    box = PROMPT if field == "prompt" else "#wan-negative textarea"
    page.click("#wan-reveal")
    page.fill(box, text)
    page.wait_for_selector(f".wan-final .wan-place mark:text-is('{char}')")
    assert ("提示词：第 9 个字符" if field == "prompt" else "反向提示词：第 2 个字符") in page.inner_text(".wan-final")
    if field == "prompt":
        page.wait_for_selector(f".wan-syntax .wan-place mark:text-is('{char}')")
    page.click(".wan-final .wan-place")
    chosen = page.evaluate(
        "box => { const a = document.querySelector(box); return a.value.slice(a.selectionStart, a.selectionEnd); }", box
    )
    assert chosen == char
    page.fill(box, "猫")
    page.wait_for_selector(".wan-final .wan-place", state="detached")


def test_the_i_button_shows_weights_tokens_and_what_is_cut(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    choose_style(page, "赛博朋克霓虹 · Cyberpunk Neon")
    page.click("#wan-reveal")
    page.fill(PROMPT, "静卧的(猎豹:1.3)")
    page.wait_for_selector(".wan-mono mark:text-is('(猎豹:1.3)')")
    assert " / 128 词元" in page.inner_text(".wan-tokens >> nth=0")
    assert page.locator(".wan-mono del").count() == 0
    long = "一只猫坐在草地上，" * 16
    page.fill(PROMPT, long)
    page.wait_for_selector(".wan-mono del")
    final = styles.apply(long, styles.load_styles()["Cyberpunk Neon"])
    shown = page.inner_text(".wan-mono >> nth=0")
    cut = "".join(page.locator(".wan-mono >> nth=0").locator("del").all_inner_texts())
    assert shown.endswith(cut)
    assert shown == final.display
    page.wait_for_selector(".wan-advice-count.wan-bad:has-text('超出编码器上限')")


def test_an_example_fills_everything_in_and_undo_brings_all_back(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.fill(PROMPT, "我自己的")
    page.check("#wan-seconds input[value='2']", force=True)
    example = styles.load_examples()[3]
    page.click(f".wan-example[title='{example.prompt_zh}']")
    prompt_is(page, example.prompt_zh)
    page.wait_for_function("document.querySelector('#wan-size .selected').innerText === '1280×720'")
    assert page.is_checked(f"#wan-seconds input[value='{example.settings['seconds']}']")
    page.wait_for_function("document.querySelector('#wan-style input').value.endsWith('Cyberpunk Neon')")
    page.click(".wan-undo")
    prompt_is(page, "我自己的")
    page.wait_for_function("document.querySelector('#wan-size .selected').innerText === '768×432'")
    assert page.is_checked("#wan-seconds input[value='2']")


def test_the_gallery_has_all_examples_and_one_stop_of_the_tab_key(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    examples = styles.load_examples()
    assert page.locator(".wan-strip .wan-card").count() == len(examples)
    assert page.locator(".wan-strip .wan-card[tabindex='0']").count() == 1
    page.focus(".wan-strip .wan-card[tabindex='0']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    prompt_is(page, examples[2].prompt_zh)
    page.click(".wan-all")
    assert page.get_attribute(".wan-all", "aria-expanded") == "true"
    page.locator(".wan-strip .wan-card").last.scroll_into_view_if_needed()
    assert page.locator(".wan-strip .wan-card").last.is_visible()


def test_style_cards_and_dropdown_are_one_choice(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    assert page.locator(".wan-look").count() == 12
    assert page.locator(".wan-look[aria-checked=true]").count() == 0
    choose_style(page, "赛博朋克霓虹 · Cyberpunk Neon")
    page.wait_for_selector(".wan-look[aria-checked=true][data-key='Cyberpunk Neon']")
    page.focus(".wan-look[aria-checked=true]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('#wan-style input').value === '油画 · Oil Painting'")
    page.wait_for_selector(".wan-look[aria-checked=true][data-key='Oil Painting']")
    choose_style(page, "水彩 · Watercolor")
    page.wait_for_selector(".wan-look[aria-checked=true][data-key='Watercolor']")
    generate(page)
    assert page.evaluate("wan.job.state.request.style") == "Watercolor"


def test_a_style_file_is_loaded_used_kept_and_forgotten(
    url: str, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_page(url)
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps([*MINE, {"name": "Neon", "prompt": "neon"}]), encoding="utf-8")
    load(page, mine)
    page.wait_for_selector(".wan-styles-error:not([hidden])")
    assert "mine.json #2 “Neon”" in page.inner_text(".wan-styles-error")
    assert "模板中必须有 {prompt}" in page.inner_text(".wan-styles-error")
    mine.write_text(json.dumps(MINE), encoding="utf-8")
    load(page, mine)
    page.wait_for_function("document.querySelector('#wan-style input').value === '粉笔 · Chalk'")
    assert page.is_hidden(".wan-styles-error")
    page.click("#wan-reveal")
    page.wait_for_function("document.querySelector('.wan-mono')?.innerText.endsWith('chalk on slate')")
    generate(page)
    assert page.evaluate("wan.job.state.request.style").startswith("Chalk #")
    assert wait_until_played(page)["state"]["state"] == "done"
    page.reload()
    page.wait_for_selector(".wan-look[aria-checked=true]:has-text('粉笔')")
    page.wait_for_function("document.querySelector('#wan-style input').value === '粉笔 · Chalk'")
    page.click("#wan-style input")
    assert page.get_by_role("option", name="粉笔 · Chalk", exact=True).count() == 1
    page.keyboard.press("Escape")
    page.click(".wan-forget")
    page.wait_for_function("document.querySelectorAll('.wan-look').length === 12")
    page.wait_for_function("document.querySelector('#wan-style input').value === '无 · None'")


def choose_style(page: Page, name: str) -> None:
    page.click("#wan-style input")
    page.get_by_role("option", name=name, exact=True).click()


def load(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(".wan-load")
    chooser.value.set_files(path)


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
def test_the_studio_fits_a_phone(url: str, open_page: Callable[..., Page], locale: str) -> None:
    page = open_page(url, locale=locale, width=390, height=844)
    advise(page, "美丽梦幻的几棵树和一只狗，白天，(夜晚:1.3)，水墨风，" + "一只猫坐在草地上，" * 14)
    page.click("#wan-reveal")
    page.wait_for_selector(".wan-mono del")
    beyond = page.evaluate(
        """() => [...document.querySelectorAll(".wan-coach *, .wan-final *, :is(.wan-gallery, .wan-looks) header *")]
            .filter((node) => node.offsetParent && node.getBoundingClientRect().right > 391)
            .map((node) => node.outerHTML)"""
    )
    assert beyond == []
    assert page.evaluate("document.querySelector('#wan-controls').getBoundingClientRect().right") <= 390
    small = page.evaluate(
        """() => [...document.querySelectorAll(".wan-coach button, .wan-gallery button, .wan-looks button")]
            .filter((node) => node.offsetParent && node.getBoundingClientRect().height < 24)
            .map((node) => node.outerHTML)"""
    )
    assert small == [], "WCAG 2.2: a target is at least 24 px high"
